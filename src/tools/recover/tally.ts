/** Counts the results of opening everything, for people and for scripts. @module */

import type { Io } from '../../console/io.ts'
import { paint, printable, table } from '../../console/output.ts'
import { counted, grouped } from '../../console/progress.ts'
import type { OpeningOutcome } from '../etcd/outcome.ts'

/** An object that does not open, or that opens here but not for an API server. */
export interface Problem {
  readonly name: string
  readonly code: string
  readonly reason: string
}

interface Counts {
  opened: number
  failed: number
  /** Objects that were opened, but that no API server could read. */
  differing: number
}

/** More reasons than these would tell nothing new. */
const MAX_REASONS = 10

export class Tally {
  readonly #resources = new Map<string, Counts>()
  readonly #openers = new Map<string, number>()
  readonly #reasons = new Map<string, number>()

  /** Returns what is wrong with the object. */
  add(outcome: OpeningOutcome): Problem | undefined {
    const counts = this.#countsOf(outcome.found.object?.resource ?? 'other keys')
    const problem = problemOf(outcome)
    if ('error' in outcome) counts.failed += 1
    else {
      counts.opened += 1
      count(this.#openers, outcome.by ?? 'nobody')
      if (outcome.differs !== undefined) counts.differing += 1
    }
    const isNew = problem !== undefined && !this.#reasons.has(problem.reason)
    if (problem === undefined || (isNew && this.#reasons.size >= MAX_REASONS)) return problem
    count(this.#reasons, problem.reason)
    return problem
  }

  get total(): Readonly<Counts> {
    const total = { opened: 0, failed: 0, differing: 0 }
    for (const { opened, failed, differing } of this.#resources.values()) {
      total.opened += opened
      total.failed += failed
      total.differing += differing
    }
    return total
  }

  /** True where there were objects, and nothing is wrong. */
  get good(): boolean {
    const { opened, failed, differing } = this.total
    return opened > 0 && failed + differing === 0
  }

  json() {
    return {
      ...this.total,
      resources: Object.fromEntries(this.#resources),
      openedBy: Object.fromEntries(this.#openers),
    }
  }

  readable(io: Io): string {
    const { opened, failed } = this.total
    if (opened + failed === 0) {
      return `${paint(io, 'red', 'Nothing is encrypted here: nothing was proved')}\n`
    }
    const rows = [...this.#resources].map(([resource, counts]) => [
      `  ${printable(resource)}`,
      `${grouped(counts.opened)} of ${grouped(counts.opened + counts.failed)} open`,
    ])
    return [
      ...table(rows).map((row) => `${row.join('  ')}\n`),
      section('Opened by', this.#openers),
      section('What is wrong', this.#reasons),
      `\n${this.#verdict(io)}\n`,
      failed > 0 ? 'hint: "trousseau recover list" says whose keys open what\n' : '',
    ].join('')
  }

  #verdict(io: Io): string {
    const { opened, failed, differing } = this.total
    if (failed > 0) {
      const all = counted(opened + failed, 'encrypted object')
      const text = `Of ${all} ${grouped(failed)} ${failed === 1 ? 'does' : 'do'} not open`
      return paint(io, 'red', text)
    }
    const open =
      opened === 1
        ? 'The 1 encrypted object opens'
        : `All ${grouped(opened)} encrypted objects open`
    if (differing > 0) {
      const text = `${open}, but no API server could read ${grouped(differing)}`
      return paint(io, 'yellow', text)
    }
    return paint(io, 'green', open)
  }

  #countsOf(resource: string): Counts {
    const counts = this.#resources.get(resource) ?? { opened: 0, failed: 0, differing: 0 }
    this.#resources.set(resource, counts)
    return counts
  }
}

function problemOf(outcome: OpeningOutcome): Problem | undefined {
  const { name } = outcome.found
  if ('error' in outcome) {
    const { code, message } = outcome.error
    return { name, code, reason: message }
  }
  if (outcome.differs === undefined) return undefined
  return { name, code: 'differs', reason: differing(outcome.differs) }
}

export function differing(differs: string): string {
  return `It opens here, but no API server could read it: ${differs}`
}

function section(title: string, counts: ReadonlyMap<string, number>): string {
  if (counts.size === 0) return ''
  const most = [...counts].sort(([, a], [, b]) => b - a)
  const lines = most.map(([text, objects]) => `  ${grouped(objects)}: ${whole(text)}\n`)
  return `\n${title}\n${lines.join('')}`
}

/** Safe for a terminal, and not cut, since it names objects and keys. */
export function whole(text: string): string {
  return (text.match(/.{1,200}/gsu) ?? []).map(printable).join('')
}

function count(counts: Map<string, number>, of: string): void {
  counts.set(of, (counts.get(of) ?? 0) + 1)
}
