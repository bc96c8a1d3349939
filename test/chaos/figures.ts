/** What histories added up to. @module */

import { faultOf, type History } from './steps.ts'
import type { PlainOutcome } from './worker.ts'

const QUANTILES = [0.5, 0.9, 0.99, 1] as const

export class Figures {
  /** Of the processes in which histories run. */
  peakMb = 0
  readonly #histories = new Map<string, number>()
  readonly #operations = new Map<string, number>()
  readonly #begun = new Map<string, number>()
  readonly #struck = new Map<string, number>()
  readonly #recoveries: Record<History['kind'], number[]> = { here: [], process: [] }
  #acknowledged = 0
  #violations = 0
  #pluginPeakMb = 0

  add(history: History, outcome: PlainOutcome): void {
    const { kind, world, tls, steps } = history
    const providers = world === 'one' ? 'one provider' : 'three providers'
    add(this.#histories, `${kind}, ${providers}, ${tls ? 'TLS' : 'http'}`)
    for (const fault of steps.flatMap((step) => faultOf(step) ?? [])) add(this.#begun, fault)
    addAll(this.#struck, outcome.struck)
    addAll(this.#operations, outcome.counts)
    this.#acknowledged += outcome.acknowledged
    this.#violations += Number(outcome.violation !== undefined)
    this.#recoveries[kind].push(...(outcome.recovery === undefined ? [] : [outcome.recovery]))
    this.#pluginPeakMb = Math.max(this.#pluginPeakMb, outcome.peakMb ?? 0)
  }

  get histories(): number {
    return sum(this.#histories)
  }

  lines(): string[] {
    return [
      `histories: ${this.histories} (${listed(this.#histories)})`,
      `operations: ${sum(this.#operations)} (${listed(this.#operations)})`,
      `acknowledged ciphertexts, each opened by the same and by a fresh plugin: ${this.#acknowledged}`,
      `faults begun: ${sum(this.#begun)} (${listed(this.#begun)})`,
      `faults that struck: ${sum(this.#struck)} (${listed(this.#struck)})`,
      `violations: ${this.#violations}`,
      ...(['here', 'process'] as const).flatMap((kind) =>
        recoveryLine(kind, this.#recoveries[kind]),
      ),
      `peak memory: ${Math.round(this.#pluginPeakMb)} MB of a plugin's process, ${Math.round(this.peakMb)} MB of a process with the histories of its lanes`,
    ]
  }
}

function recoveryLine(kind: string, times: readonly number[]): string[] {
  if (times.length === 0) return []
  const sorted = times.toSorted((one, other) => one - other)
  const at = (part: number) => sorted[Math.ceil(part * sorted.length) - 1]?.toFixed(2)
  const all = QUANTILES.map((part) => `${part === 1 ? 'most' : `p${part * 100}`} ${at(part)}`)
  return [`recovery after the last fault, ${kind}, in probe intervals: ${all.join(', ')}`]
}

function add(counts: Map<string, number>, what: string, count = 1): void {
  counts.set(what, (counts.get(what) ?? 0) + count)
}

function addAll(counts: Map<string, number>, more: Readonly<Record<string, number>>): void {
  for (const [what, count] of Object.entries(more)) add(counts, what, count)
}

function sum(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((all, count) => all + count, 0)
}

function listed(counts: ReadonlyMap<string, number>): string {
  return [...counts]
    .toSorted(([, one], [, other]) => other - one)
    .map(([what, count]) => `${what} ${count}`)
    .join(', ')
}
