/** The key ids that an API server uses, from its metrics. @module */

import type { KubeClient } from './client.ts'

const METRIC =
  /^apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds\{(.*)\} (\S+)$/gm

/**
 * The hash that each KMS provider answered last, by the provider's name; undefined where the
 * metrics may not be read.
 */
export async function latestKeyIdHashes(
  kube: KubeClient,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string> | undefined> {
  // The API server asks the plugin for its Status when somebody asks whether it is ready.
  await kube.send({ method: 'GET', path: '/readyz', signal })
  const { status, body } = await kube.send({ method: 'GET', path: '/metrics', signal })
  if (status !== 200 || typeof body !== 'string') return undefined
  const latest = new Map<string, { readonly at: number; readonly hash: string }>()
  for (const [, labels = '', time] of body.matchAll(METRIC)) {
    const name = labelOf(labels, 'provider_name')
    const at = Number(time)
    if (at > (latest.get(name)?.at ?? 0))
      latest.set(name, { at, hash: labelOf(labels, 'key_id_hash') })
  }
  return new Map([...latest].map(([name, { hash }]) => [name, hash]))
}

function labelOf(labels: string, name: string): string {
  return new RegExp(`(?:^|,)${name}="([^"]*)"`).exec(labels)?.[1] ?? ''
}
