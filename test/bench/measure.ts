/**
 * Measures all targets in interleaved rounds, so that whatever else the machine does
 * falls on all of them, and takes medians over the rounds.
 *
 * @module
 */

import type { Generators } from './generators.ts'
import { OPERATIONS, type Operation } from './job.ts'
import { median, quantile } from './statistics.ts'
import type { Target, TargetName } from './targets.ts'
import { cpuMs, rssMb } from './usage.ts'

export interface Plan {
  readonly rounds: number
  readonly durationMs: number
  readonly warmUpMs: number
  readonly concurrencies: readonly number[]
}

export interface Numbers {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly perSecond: number
  /** Of the server's own process, for each request. */
  readonly cpuUs: number
  /** Of the key service behind it. */
  readonly behindCpuUs: number
}

export interface Cell extends Numbers {
  readonly operation: Operation
  readonly concurrency: number
  readonly target: TargetName
  readonly requests: number
  /** How many cores the load generators kept busy: near their number, they and not the server are the limit. */
  readonly generatorCores: number
  /** Medians of the rounds' own ratios. */
  readonly toFloor: Numbers | undefined
  readonly toRaw: Numbers | undefined
}

export interface Measured {
  readonly cells: readonly Cell[]
  readonly rssMb: Readonly<Partial<Record<TargetName, number>>>
  readonly generators: Calibration
}

/** Empty requests a second that one and two generators bring about. */
export interface Calibration {
  readonly one: number
  readonly two: number
  readonly used: number
}

interface Sample extends Numbers {
  readonly requests: number
  readonly generatorCores: number
}

/** A second generator is worth its share of the machine from here on. */
const WORTH_IT = 1.15

/** What is compared; the rest is what it is compared to. */
const PLUGINS: ReadonlySet<TargetName> = new Set(['vault', 'local'])

export async function measure(
  targets: readonly Target[],
  generators: Generators,
  plan: Plan,
): Promise<Measured> {
  await warmUp(targets, generators, plan)
  const calibration = await calibrate(targets, generators, plan)
  const samples = new Map<string, Sample[]>()
  for (let round = 0; round < plan.rounds; round += 1) {
    // Nobody is always first.
    const order = round % 2 === 0 ? targets : targets.toReversed()
    for (const [operation, concurrency] of steps(plan)) {
      for (const target of order.filter(({ operations }) => operations.includes(operation))) {
        const step = { operation, concurrency, durationMs: plan.durationMs }
        const taken = await sample(target, step, { generators, count: calibration.used })
        const name = nameOf(operation, concurrency, target.name)
        samples.set(name, [...(samples.get(name) ?? []), taken])
      }
    }
  }
  const cells = steps(plan).flatMap(([operation, concurrency]) =>
    targets
      .filter(({ operations }) => operations.includes(operation))
      .map(({ name }) => cellOf(samples, { operation, concurrency, target: name })),
  )
  const memory = Object.fromEntries(targets.map(({ name, pid }) => [name, rssMb(pid)]))
  return { cells, rssMb: memory, generators: calibration }
}

function steps({ concurrencies }: Plan): [Operation, number][] {
  return OPERATIONS.flatMap((operation) =>
    concurrencies.map((concurrency): [Operation, number] => [operation, concurrency]),
  )
}

function nameOf(operation: Operation, concurrency: number, target: TargetName): string {
  return `${operation} ${concurrency} ${target}`
}

/** Both generators connect, and every path is compiled before anything counts. */
async function warmUp(
  targets: readonly Target[],
  generators: Generators,
  { warmUpMs }: Plan,
): Promise<void> {
  for (const { endpoint, operations } of targets) {
    for (const operation of operations) {
      await generators.run({ endpoint, operation, concurrency: 16, durationMs: warmUpMs }, 2)
    }
  }
}

async function calibrate(
  targets: readonly Target[],
  generators: Generators,
  { durationMs, concurrencies }: Plan,
): Promise<Calibration> {
  const floor = targets.find(({ name }) => name === 'floor')
  if (floor === undefined) throw new Error('There is no floor')
  const concurrency = Math.max(...concurrencies)
  const rate = async (count: number) => {
    const step = { operation: 'Status', concurrency, durationMs } as const
    return (await sample(floor, step, { generators, count })).perSecond
  }
  const one = await rate(1)
  const two = await rate(2)
  return { one, two, used: two > one * WORTH_IT ? 2 : 1 }
}

async function sample(
  { endpoint, pid, behindPid }: Target,
  step: {
    readonly operation: Operation
    readonly concurrency: number
    readonly durationMs: number
  },
  { generators, count }: { readonly generators: Generators; readonly count: number },
): Promise<Sample> {
  const behind = () => (behindPid === undefined ? 0 : cpuMs(behindPid))
  const [before, behindBefore] = [cpuMs(pid), behind()]
  const { latencies, elapsedMs, cpuMs: own } = await generators.run({ endpoint, ...step }, count)
  const requests = latencies.length
  return {
    requests,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    perSecond: (requests * 1000) / elapsedMs,
    cpuUs: ((cpuMs(pid) - before) * 1000) / requests,
    behindCpuUs: ((behind() - behindBefore) * 1000) / requests,
    generatorCores: own / elapsedMs,
  }
}

function cellOf(
  samples: ReadonlyMap<string, readonly Sample[]>,
  cell: Pick<Cell, 'operation' | 'concurrency' | 'target'>,
): Cell {
  const of = (target: TargetName) =>
    samples.get(nameOf(cell.operation, cell.concurrency, target)) ?? []
  const own = of(cell.target)
  return {
    ...cell,
    ...mediansOf(own),
    requests: own.reduce((sum, { requests }) => sum + requests, 0),
    generatorCores: median(own.map(({ generatorCores }) => generatorCores)),
    toFloor: PLUGINS.has(cell.target) ? ratios(own, of('floor')) : undefined,
    toRaw: cell.target === 'vault' ? ratios(own, of('raw')) : undefined,
  }
}

function ratios(own: readonly Sample[], base: readonly Sample[]): Numbers | undefined {
  if (base.length === 0) return undefined
  const pairs = own.flatMap((sample, round) => {
    const other = base[round]
    return other === undefined ? [] : [divide(sample, other)]
  })
  return mediansOf(pairs)
}

function divide(a: Numbers, b: Numbers): Numbers {
  return numbers((name) => a[name] / b[name])
}

function mediansOf(all: readonly Numbers[]): Numbers {
  return numbers((name) => median(all.map((one) => one[name])))
}

function numbers(of: (name: keyof Numbers) => number): Numbers {
  return {
    p50Ms: of('p50Ms'),
    p99Ms: of('p99Ms'),
    perSecond: of('perSecond'),
    cpuUs: of('cpuUs'),
    behindCpuUs: of('behindCpuUs'),
  }
}
