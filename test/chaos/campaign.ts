/** Many histories: those that once failed first, then new ones; and what came of them. @module */

import { readFile } from 'node:fs/promises'
import { SeededRandom } from '../_lib/seeded_random.ts'
import { runCrew } from './crew.ts'
import { Figures } from './figures.ts'
import { planOf } from './plan.ts'
import { shrink } from './shrink.ts'
import type { History } from './steps.ts'
import type { PlainOutcome } from './worker.ts'

/** One of so many is of a process, which takes ten times as long. */
const PROCESS_EVERY = 25
const MINUTE_MS = 60_000
const HERE_PROCESSES = 2
const HERE_LANES = 4
const PROCESS_LANES = 2
/** Shrinking takes about a minute each. */
const SHRUNK = 3

interface CampaignOptions {
  readonly histories: number
  readonly seed: number
  /** Leaves out those that need the built bundle. */
  readonly hereOnly?: boolean
  /** Ends at the first failure, and does not shrink it. */
  readonly firstOnly?: boolean
  /** Begins no history after so many minutes. */
  readonly minutes?: number | undefined
  /** Told of each at once, before it is shrunk. */
  readonly failed?: (failure: Failure) => void
  readonly progress?: (done: number) => void
  /** Told of all of them once they have run, before any is shrunk. */
  readonly ran?: (figures: Figures) => void
}

export interface Failure {
  readonly history: History
  readonly rule: string
  readonly message: string
}

interface CampaignResult {
  readonly figures: Figures
  /** Shrunk, the first of them. */
  readonly failures: readonly Failure[]
  /** Faults that no history can be blamed for: what nobody caught, and what was left over. */
  readonly faults: readonly string[]
}

export async function campaign(options: CampaignOptions): Promise<CampaignResult> {
  const { here, processes } = await histories(options)
  const figures = new Figures()
  const failures: Failure[] = []
  const done = (history: History, outcome: PlainOutcome) => {
    figures.add(history, outcome)
    options.progress?.(figures.histories)
    if (outcome.violation === undefined) return
    const failure = { history, ...outcome.violation }
    failures.push(failure)
    options.failed?.(failure)
  }
  const end = performance.now() + (options.minutes ?? Number.POSITIVE_INFINITY) * MINUTE_MS
  const over = () => performance.now() > end || (options.firstOnly === true && failures.length > 0)
  const next = (queue: History[]) => () => (over() ? undefined : queue.shift())
  const crews = await Promise.all([
    runCrew({
      processes: options.firstOnly === true ? 1 : HERE_PROCESSES,
      lanes: HERE_LANES,
      next: next(here),
      done,
    }),
    processes.length === 0
      ? []
      : runCrew({ processes: 1, lanes: PROCESS_LANES, next: next(processes), done }),
  ])
  const results = crews.flat()
  figures.peakMb = Math.max(...results.map(({ peakMb }) => peakMb))
  const faults = results.flatMap(({ faults: uncaught, left }) => [
    ...uncaught.map((text) => `nobody caught: ${text}`),
    ...left.map((name) => `left over: ${name}`),
  ])
  options.ran?.(figures)
  if (options.firstOnly === true) return { figures, failures, faults }
  return { figures, failures: await shrunk(failures), faults }
}

async function histories({ histories: count, seed, hereOnly = false }: CampaignOptions) {
  const kept = await keptHistories()
  const random = new SeededRandom(seed)
  const made = Array.from({ length: count }, (_, index) => {
    const kind = !hereOnly && index % PROCESS_EVERY === PROCESS_EVERY - 1 ? 'process' : 'here'
    return planOf(random.below(2 ** 32), kind)
  })
  const all = [...kept.filter(({ kind }) => !(hereOnly && kind === 'process')), ...made]
  return {
    here: all.filter(({ kind }) => kind === 'here'),
    processes: all.filter(({ kind }) => kind === 'process'),
  }
}

/** Those that once failed, as they were shrunk. */
async function keptHistories(): Promise<History[]> {
  return JSON.parse(await readFile(new URL('./seeds.json', import.meta.url), 'utf8'))
}

/** One process is kept for all attempts, since a key service takes seconds to start. */
async function shrunk(failures: readonly Failure[]): Promise<Failure[]> {
  const [queue, answers] = [new Handover<History | undefined>(), new Handover<PlainOutcome>()]
  if (failures.length === 0) return []
  const crew = runCrew({
    processes: 1,
    lanes: 1,
    next: () => queue.take(),
    done: (_, outcome) => answers.give(outcome),
  })
  const breaks = async (history: History) => {
    queue.give(history)
    return (await answers.take()).violation?.rule
  }
  const smaller: Failure[] = []
  for (const failure of failures.slice(0, SHRUNK)) {
    smaller.push({ ...failure, history: await shrink(failure.history, failure.rule, breaks) })
  }
  queue.give(undefined)
  await crew
  return [...smaller, ...failures.slice(SHRUNK)]
}

/** Hands one value after the other from one place to another. */
class Handover<T> {
  readonly #given: T[] = []
  readonly #takers: ((value: T) => void)[] = []

  give(value: T): void {
    const taker = this.#takers.shift()
    if (taker === undefined) this.#given.push(value)
    else taker(value)
  }

  take(): Promise<T> {
    return new Promise((resolve) => {
      if (this.#given.length === 0) this.#takers.push(resolve)
      else resolve(this.#given.shift() as T)
    })
  }
}
