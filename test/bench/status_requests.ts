/**
 * Counts the requests to Vault that Status causes. A proxy in front of Vault counts them, and the
 * plugin's own health rounds are so far apart that they do not add to the count.
 *
 * @module
 */

import { connectKms } from '../../src/grpc/client.ts'
import { startCountingProxy } from './counting_proxy.ts'
import type { Generators } from './generators.ts'
import { prepared, socketPrepares } from './operations.ts'
import { type Setup, vaultProvider } from './setup.ts'

export interface StatusRequests {
  readonly statuses: number
  /** To Vault, while those were answered. */
  readonly requests: number
}

const HEALTH = { interval: '1h', staleAfter: '2h' }
const CONCURRENCY = 16

export async function countStatusRequests(
  { folder, bao, transit, processes }: Setup,
  generators: Generators,
  durationMs: number,
): Promise<StatusRequests> {
  await using proxy = await startCountingProxy(bao.address)
  const server = await processes.plugin({
    folder: folder.at('counted'),
    provider: { ...vaultProvider(transit), address: proxy.address },
    config: { health: HEALTH },
  })
  const status = await prepared(socketPrepares(server.socketPath), 'Status')
  const endpoint = { kind: 'socket', path: server.socketPath } as const
  const before = proxy.requests
  const load = { endpoint, ...status, concurrency: CONCURRENCY, durationMs }
  const { latencies } = await generators.run(load, 1)
  const requests = proxy.requests - before
  await checkCount(server.socketPath, () => proxy.requests)
  await server.stop()
  return { statuses: latencies.length, requests }
}

/** A counter that sees no Encrypt would see no Status either. */
async function checkCount(socketPath: string, count: () => number): Promise<void> {
  const before = count()
  const client = connectKms(socketPath, { timeoutMs: 10_000 })
  try {
    await client.v2.encrypt({ plaintext: new Uint8Array(1), uid: 'bench' })
  } finally {
    client.close()
  }
  if (count() === before) throw new Error('The proxy does not count what goes to Vault')
}
