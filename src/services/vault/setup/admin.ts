/** Reads and writes a key service's settings with an administrator's token. @module */

import * as v from 'valibot'
import { withinLimit } from '../../../base/call.ts'
import type { Clock } from '../../../base/clock.ts'
import type { EventSink } from '../../../base/events.ts'
import { HttpClient } from '../../../remote/http/client.ts'
import { Transport } from '../../../remote/http/transport.ts'
import { VaultApi, VaultStatusError } from '../api.ts'
import { VaultCluster } from '../cluster.ts'
import type { SetupInput } from './input.ts'

export type Body = Readonly<
  Record<string, string | number | boolean | readonly (string | object)[]>
>

export interface VaultAdmin {
  /** The `data` of an answer; undefined where there is nothing at the path. */
  read<T extends v.GenericSchema>(path: string, data: T): Promise<v.InferOutput<T> | undefined>
  /** The whole answer, as `answer` reads it. */
  write<T extends v.GenericSchema>(path: string, body: Body, answer: T): Promise<v.InferOutput<T>>
  close(): Promise<void>
}

interface VaultAdminOptions
  extends Pick<SetupInput, 'name' | 'address' | 'namespace' | 'tls' | 'proxy'> {
  readonly token: string
  readonly clock: Clock
  readonly events: EventSink
}

/** Mounting an engine may take a while. */
const REQUEST_TIMEOUT_MS = 10_000

export function createVaultAdmin(options: VaultAdminOptions): VaultAdmin {
  const { name: provider, address, namespace, tls, proxy, token, clock, events } = options
  const transport = new Transport({ provider, tls, proxy, clock, events })
  const deps = { clock, events, random: Math.random, provider }
  const cluster = new VaultCluster([new HttpClient(address, transport)], deps)
  const api = new VaultApi(cluster, namespace)
  return {
    async read(path, data) {
      const schema = v.object({ data })
      try {
        const { body } = await withinLimit(clock, REQUEST_TIMEOUT_MS, (call) =>
          api.request({ method: 'GET', path, token, schema }, call),
        )
        return body.data
      } catch (error) {
        if (error instanceof VaultStatusError && error.status === 404 && !error.foreign)
          return undefined
        throw error
      }
    },
    async write(path, body, schema) {
      const request = { method: 'POST', path, token, body, schema, accept: [200, 204] } as const
      const reply = await withinLimit(clock, REQUEST_TIMEOUT_MS, (call) =>
        api.request(request, call),
      )
      return reply.body
    },
    close: () => transport.close(),
  }
}
