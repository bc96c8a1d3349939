/**
 * What an API server's static pod says about it, and which of its endpoints lead to a socket of the
 * plugin.
 *
 * @module
 */

import { realpath } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { KmsEntry } from '../kube/encryption_config.ts'
import { goUrl } from '../kube/go_values.ts'
import { type Container, flagOf, isOn, onNode, plain, type StaticPod } from '../kube/static_pod.ts'
import type { ApiServerFacts } from './encryption_start.ts'

export interface Dialed {
  /** As written in the EncryptionConfiguration. */
  readonly endpoint: string
  /** The path that the API server connects to, inside its pod. */
  readonly path: string
  /** The plugin's own path of the socket. */
  readonly socket: string
}

export function apiServerOf(pod: StaticPod | undefined): Container | undefined {
  return pod?.spec.containers.find(({ name }) => name === 'kube-apiserver')
}

export function factsOf(pod: StaticPod | undefined): ApiServerFacts {
  const container = apiServerOf(pod)
  if (container === undefined) return {}
  const [, minor] = /:v?1\.(\d+)\./.exec(container.image) ?? []
  return {
    minor: minor === undefined ? undefined : Number(minor),
    kmsV1: /(?:^|,)KMSv1=(?:true|t|1)(?:,|$)/i.test(flagOf(container, 'feature-gates') ?? ''),
    reload: isOn(container, 'encryption-provider-config-automatic-reload'),
  }
}

/** Those of `entries` that lead to one of `sockets`, through mounts and links too. */
export async function dialedOf(
  entries: readonly KmsEntry[],
  sockets: readonly string[],
  pod: StaticPod | undefined,
): Promise<Dialed[]> {
  const real = new Map<string, string>()
  for (const socket of sockets) real.set(await realFile(socket), socket)
  const dialed: Dialed[] = []
  for (const endpoint of new Set(entries.map((entry) => entry.endpoint))) {
    const path = pathOf(endpoint)
    if (path === undefined) continue
    const socket = real.get(await realFile(nodePath(pod, path)))
    if (socket !== undefined) dialed.push({ endpoint, path, socket })
  }
  return dialed
}

function pathOf(endpoint: string): string | undefined {
  const { scheme, path = '' } = goUrl(endpoint) ?? {}
  return scheme === 'unix' && path.startsWith('/') ? plain(path) : undefined
}

/** The place on the node of a path of the API server; the same path where that is not known. */
function nodePath(pod: StaticPod | undefined, path: string): string {
  const container = apiServerOf(pod)
  if (pod === undefined || container === undefined) return path
  return onNode(pod, container, path) ?? path
}

/** The socket itself need not exist, and its folder may be on another machine. */
export async function realFile(path: string): Promise<string> {
  const folder = dirname(plain(path))
  return join(await realpath(folder).catch(() => folder), basename(path))
}
