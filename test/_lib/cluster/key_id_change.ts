/** How an API server gets to know a new key id, and how a test can see that. @module */

import { setTimeout as pause } from 'node:timers/promises'
import { until } from '../wait.ts'
import type { Etcd } from './etcd.ts'
import type { KubeApi } from './kube_api.ts'
import { readStoredV2 } from './stored.ts'

const NOTICED_MS = 120_000

/**
 * Asks for health as a load balancer does, which makes an API server ask for Status every 20 s
 * instead of every minute.
 */
export function pokeHealth(apis: readonly KubeApi[]): AsyncDisposable {
  const stopping = new AbortController()
  const { signal } = stopping
  const ended = Promise.all(
    apis.map(async (api) => {
      while (!signal.aborted) {
        await api.health('/readyz').catch(() => undefined)
        await pause(1_000, undefined, { signal }).catch(() => undefined)
      }
    }),
  )
  return {
    async [Symbol.asyncDispose]() {
      stopping.abort()
      await ended
    },
  }
}

/** @param name of a Secret that is written to see it */
export async function untilWrittenUnder(
  keyId: string,
  api: KubeApi,
  etcd: Etcd,
  name = 'probe',
): Promise<void> {
  const path = '/api/v1/namespaces/default/secrets'
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'default' } }
  await until(
    'the API server writes under the key id',
    async () => {
      await api.send('DELETE', `${path}/${name}`)
      await api.must('POST', path, secret)
      return readStoredV2(await etcd.value(`/registry/secrets/default/${name}`)).keyId === keyId
    },
    { limitMs: NOTICED_MS, everyMs: 250 },
  )
}
