/** Medians over the rounds: of the numbers, and of the ratios within each round. @module */

import { median } from '../../src/tools/load/quantile.ts'
import type { Operation } from './operations.ts'
import type { TargetName } from './targets.ts'

export interface Numbers {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly perSecond: number
  /** Of the server's own process, for each request. */
  readonly cpuUs: number
  /** Of the key service behind it. */
  readonly behindCpuUs: number
}

export interface Step {
  readonly operation: Operation
  readonly concurrency: number
}

/** One round's numbers of one target in one step. */
export interface Sample extends Numbers {
  readonly requests: number
  readonly generatorCores: number
}

export interface Cell extends Sample, Step {
  readonly target: TargetName
  /** Medians of the rounds' own ratios. */
  readonly toFloor: Numbers | undefined
  readonly toRaw: Numbers | undefined
  readonly toPeer: Numbers | undefined
}

interface Bases {
  readonly floor?: TargetName
  readonly raw?: TargetName
  readonly peer?: TargetName
}

/** What each target is compared to. */
const BASES: Readonly<Record<TargetName, Bases>> = {
  floor: {},
  raw: {},
  vault: { floor: 'floor', raw: 'raw', peer: 'peer' },
  local: { floor: 'floor' },
  peer: { floor: 'floor', raw: 'raw' },
  'raw-lean': { raw: 'raw' },
  'vault-lean': { floor: 'floor', raw: 'raw-lean' },
}

export function nameOf({ operation, concurrency }: Step, target: TargetName): string {
  return `${operation} ${concurrency} ${target}`
}

export function cellOf(
  samples: ReadonlyMap<string, readonly Sample[]>,
  step: Step,
  target: TargetName,
): Cell {
  const of = (name: TargetName | undefined) =>
    name === undefined ? [] : (samples.get(nameOf(step, name)) ?? [])
  const own = of(target)
  const { floor, raw, peer } = BASES[target]
  return {
    ...step,
    target,
    ...mediansOf(own),
    requests: own.reduce((sum, { requests }) => sum + requests, 0),
    generatorCores: median(own.map(({ generatorCores }) => generatorCores)),
    toFloor: ratios(own, of(floor)),
    toRaw: ratios(own, of(raw)),
    toPeer: ratios(own, of(peer)),
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
