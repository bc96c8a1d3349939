/**
 * Measures all targets in interleaved rounds, so that other work of the machine affects all of them
 * alike.
 *
 * @module
 */

import { quantile } from '../../src/tools/load/quantile.ts'
import { type Cell, cellOf, nameOf, type Sample, type Step } from './cells.ts'
import type { Generators } from './generators.ts'
import { OPERATIONS, type Operation, prepared } from './operations.ts'
import { LEAN_TARGETS, type Target, type TargetName } from './targets.ts'
import { cpuMs, peakMb, rssMb } from './usage.ts'

export interface Plan {
  readonly rounds: number
  readonly durationMs: number
  readonly warmUpMs: number
  readonly concurrencies: readonly number[]
  /** Ciphertexts of a cold start. */
  readonly coldItems: number
}

interface Memory {
  /** When it was ready, before any load. */
  readonly idleMb: number
  readonly loadedMb: number
  readonly peakMb: number
}

export interface Measured {
  readonly cells: readonly Cell[]
  readonly memory: Readonly<Partial<Record<TargetName, Memory>>>
  readonly generators: Calibration
}

/** Empty requests a second that one and two generators bring about. */
interface Calibration {
  readonly one: number
  readonly two: number
  readonly used: number
}

interface Loading {
  readonly generators: Generators
  /** How many of them. */
  readonly used: number
  readonly plan: Plan
}

/** A second generator is worth its share of the machine from here on. */
const WORTH_IT = 1.02
/** These are measured at the highest concurrency alone. */
const MANY: ReadonlySet<Operation> = new Set(['Repeat', 'Cold v1'])
const WARM_UP_ITEMS = 500
const WARM_UP_CONCURRENCY = 16

export async function measure(
  targets: readonly Target[],
  generators: Generators,
  plan: Plan,
): Promise<Measured> {
  const idle = new Map(targets.map(({ name, pid }) => [name, rssMb(pid)]))
  await warmUp(targets, generators, plan)
  const calibration = await calibrate(targets, generators, plan)
  const loading: Loading = { generators, used: calibration.used, plan }
  const samples = new Map<string, Sample[]>()
  for (let round = 0; round < plan.rounds; round += 1) {
    // Nobody is always first.
    const order = round % 2 === 0 ? targets : targets.toReversed()
    for (const step of stepsOf(plan)) {
      for (const target of order.filter((one) => takes(one, step, plan))) {
        const name = nameOf(step, target.name)
        samples.set(name, [...(samples.get(name) ?? []), await sample(target, step, loading)])
      }
    }
  }
  const cells = stepsOf(plan).flatMap((step) =>
    targets
      .filter((target) => takes(target, step, plan))
      .map(({ name }) => cellOf(samples, step, name)),
  )
  const memory = targets.map(({ name, pid }): [TargetName, Memory] => [
    name,
    { idleMb: idle.get(name) ?? Number.NaN, loadedMb: rssMb(pid), peakMb: peakMb(pid) },
  ])
  return { cells, memory: Object.fromEntries(memory), generators: calibration }
}

function stepsOf({ concurrencies }: Plan): Step[] {
  const most = Math.max(...concurrencies)
  return OPERATIONS.flatMap((operation) =>
    (MANY.has(operation) ? [most] : concurrencies).map((concurrency) => ({
      operation,
      concurrency,
    })),
  )
}

function takes({ name, operations }: Target, { operation, concurrency }: Step, plan: Plan) {
  if (!operations.includes(operation)) return false
  return !LEAN_TARGETS.has(name) || concurrency === Math.max(...plan.concurrencies)
}

/** Both generators connect, and every path is compiled before anything counts. */
async function warmUp(
  targets: readonly Target[],
  generators: Generators,
  plan: Plan,
): Promise<void> {
  const durationMs = plan.warmUpMs
  const coldItems = Math.min(WARM_UP_ITEMS, plan.coldItems)
  const loading = { generators, used: 2, plan: { ...plan, durationMs, coldItems } }
  for (const target of targets) {
    for (const operation of target.operations) {
      await sample(target, { operation, concurrency: WARM_UP_CONCURRENCY }, loading)
    }
  }
}

async function calibrate(
  targets: readonly Target[],
  generators: Generators,
  plan: Plan,
): Promise<Calibration> {
  const floor = targets.find(({ name }) => name === 'floor')
  if (floor === undefined) throw new Error('There is no floor')
  const concurrency = Math.max(...plan.concurrencies)
  const rate = async (used: number) => {
    const step = { operation: 'Status', concurrency } as const
    return (await sample(floor, step, { generators, used, plan })).perSecond
  }
  const one = await rate(1)
  const two = await rate(2)
  return { one, two, used: two > one * WORTH_IT ? 2 : 1 }
}

async function sample(
  { endpoint, prepares, pid, behindPid }: Target,
  { operation, concurrency }: Step,
  { generators, used, plan }: Loading,
): Promise<Sample> {
  const requests = await prepared(prepares, operation, plan.coldItems)
  const limit =
    operation === 'Cold v1' ? { requests: plan.coldItems } : { durationMs: plan.durationMs }
  const behind = () => (behindPid === undefined ? 0 : cpuMs(behindPid))
  const [before, behindBefore] = [cpuMs(pid), behind()]
  const outcome = await generators.run({ endpoint, ...requests, concurrency, ...limit }, used)
  const { latencies, elapsedMs, cpuMs: own } = outcome
  const count = latencies.length
  return {
    requests: count,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    perSecond: (count * 1000) / elapsedMs,
    cpuUs: ((cpuMs(pid) - before) * 1000) / count,
    behindCpuUs: ((behind() - behindBefore) * 1000) / count,
    generatorCores: own / elapsedMs,
  }
}
