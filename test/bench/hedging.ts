/**
 * Measures Decrypt under `any` while one of two providers is twenty times slower than before,
 * compared with the fast provider alone. The slow one changes with every round, so that it is
 * always the one that was preferred so far.
 *
 * @module
 */

import { median, quantile } from '../../src/tools/load/quantile.ts'
import { type CountingProxy, startCountingProxy } from './counting_proxy.ts'
import type { Generators } from './generators.ts'
import { prepared, socketPrepares } from './operations.ts'
import { type Setup, vaultProvider } from './setup.ts'

export interface Hedging {
  readonly aloneP99Ms: number
  readonly anyP99Ms: number
  /** Median of the rounds' own ratios. */
  readonly ratio: number
}

interface HedgingPlan {
  readonly rounds: number
  readonly durationMs: number
}

const SLOWER = 20
const CONCURRENCY = 4
const PROTECTION = { mode: 'any', holdTime: '1h' }

export async function measureHedging(
  setup: Setup,
  generators: Generators,
  { rounds, durationMs }: HedgingPlan,
): Promise<Hedging> {
  const { bao } = setup
  await using first = await startCountingProxy(bao.address)
  await using second = await startCountingProxy(bao.address)
  const proxies = [first, second]
  const providers = await providersOf(setup, proxies)
  const run = async (socketPath: string, ms: number) => {
    const decrypt = await prepared(socketPrepares(socketPath), 'Decrypt')
    const endpoint = { kind: 'socket', path: socketPath } as const
    const load = { endpoint, ...decrypt, concurrency: CONCURRENCY, durationMs: ms }
    const { latencies } = await generators.run(load, 1)
    return { p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) }
  }
  const alone = await started(setup, 'alone', providers.slice(0, 1))
  const any = await started(setup, 'any', providers)
  for (const socketPath of [alone, any]) await run(socketPath, durationMs)
  const samples = []
  for (let round = 0; round < rounds; round += 1) {
    const base = await run(alone, durationMs)
    const slow = proxies[round % proxies.length]
    if (slow !== undefined) slow.delayMs = base.p50 * SLOWER
    samples.push({ alone: base.p99, any: (await run(any, durationMs)).p99 })
    if (slow !== undefined) slow.delayMs = 0
  }
  return {
    aloneP99Ms: median(samples.map((sample) => sample.alone)),
    anyP99Ms: median(samples.map((sample) => sample.any)),
    ratio: median(samples.map((sample) => sample.any / sample.alone)),
  }
}

async function providersOf({ folder, bao, transit }: Setup, proxies: readonly CountingProxy[]) {
  const other = await bao.setupTransit({ folder: folder.path, mount: 'other', key: 'other' })
  return [transit, other].map((each, at) => ({
    ...vaultProvider(each),
    name: `number-${at}`,
    id: `bench:${at}`,
    address: proxies[at]?.address,
  }))
}

async function started(
  { folder, processes }: Setup,
  name: string,
  providers: readonly object[],
): Promise<string> {
  const config = { providers, protection: PROTECTION }
  const server = await processes.plugin({ folder: folder.at(name), provider: {}, config })
  return server.socketPath
}
