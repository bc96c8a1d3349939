/**
 * Makes calls by several callers at once, for a limited time: as fast as they are answered or at a
 * steady rate. It can be stopped at once.
 *
 * @module
 */

import { setTimeout as pause } from 'node:timers/promises'
import { RpcError } from '../../grpc/client.ts'

interface Pace {
  readonly callers: number
  /**
   * Calls a second of all callers together; where absent, each caller calls again as soon as it is
   * answered.
   */
  readonly perSecond?: number | undefined
  readonly durationMs: number
  readonly maxCalls: number
  readonly stop: AbortSignal
}

/** Throws where the call failed, or its answer was not what it must be. */
export type Call = () => Promise<void>

export interface Tally {
  /**
   * Latencies of the calls that succeeded. At a steady rate they count from when the call was due,
   * so they include the time that calls waited for a slow plugin.
   */
  readonly latencies: readonly number[]
  /** How many calls failed, by code. */
  readonly errors: ReadonlyMap<string, number>
  readonly elapsedMs: number
}

/** A wrong answer, with a code of our own, so that nothing the plugin says has to be shown. */
export class WrongAnswer extends Error {
  override readonly name = 'WrongAnswer'
  readonly code: string

  constructor(message: string, options: { readonly code: string }) {
    super(message)
    this.code = options.code
  }
}

/** Wait this long after a failure, so that a plugin in trouble is not overloaded. */
const AFTER_FAILURE_MS = 100

/** @param next the calls that a caller makes at once when its turn comes; they must not throw */
export async function runLoad(pace: Pace, next: () => readonly Call[]): Promise<Tally> {
  const load = new Load(pace, next)
  const callers = Array.from({ length: pace.callers }, () => load.caller())
  await Promise.race([Promise.all(callers), fired(pace.stop)])
  return load.tally()
}

class Load {
  readonly #pace: Pace
  readonly #next: () => readonly Call[]
  readonly #latencies: number[] = []
  readonly #errors = new Map<string, number>()
  readonly #start = performance.now()
  #made = 0

  constructor(pace: Pace, next: () => readonly Call[]) {
    this.#pace = pace
    this.#next = next
  }

  /** Calls that are still under way after a stop are not counted. */
  tally(): Tally {
    return {
      latencies: [...this.#latencies],
      errors: new Map(this.#errors),
      elapsedMs: performance.now() - this.#start,
    }
  }

  async caller(): Promise<void> {
    for (let due = this.#due(); due !== undefined; due = this.#due()) {
      const calls = this.#next()
      if (calls.length === 0) return
      this.#made += calls.length
      await this.#pauseUntil(due)
      const since = due
      const well = await Promise.all(calls.map((call) => this.#measured(call, since)))
      if (!well.every(Boolean)) await this.#pauseUntil(performance.now() + AFTER_FAILURE_MS)
    }
  }

  /** When the next call is due; undefined when the load is over. */
  #due(): number | undefined {
    const { perSecond, durationMs, maxCalls, stop } = this.#pace
    if (stop.aborted || this.#made >= maxCalls) return undefined
    const now = performance.now()
    const due = perSecond === undefined ? now : this.#start + (this.#made * 1_000) / perSecond
    return Math.max(due, now) < this.#start + durationMs ? due : undefined
  }

  async #pauseUntil(time: number): Promise<void> {
    const ms = time - performance.now()
    if (ms > 0) await pause(ms, undefined, { signal: this.#pace.stop }).catch(() => undefined)
  }

  async #measured(call: Call, since: number): Promise<boolean> {
    try {
      await call()
      this.#latencies.push(performance.now() - since)
      return true
    } catch (error) {
      const code = codeOf(error)
      this.#errors.set(code, (this.#errors.get(code) ?? 0) + 1)
      return false
    }
  }
}

function codeOf(error: unknown): string {
  if (error instanceof RpcError) return error.status
  return error instanceof WrongAnswer ? error.code : 'NOT_A_MESSAGE'
}

function fired(stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (stop.aborted) resolve()
    stop.addEventListener('abort', () => resolve(), { once: true })
  })
}
