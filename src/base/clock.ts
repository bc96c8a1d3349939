/** The time that all other code uses, so that tests can control it. @module */

import { setImmediate } from 'node:timers'

export interface Clock {
  /** Milliseconds since the epoch by this node's clock, which may be wrong or jump. */
  now(): number
  /** Milliseconds that only ever grow; for durations and deadlines. */
  monotonic(): number
  /** Calls `run` once after `ms`; the returned function cancels. */
  after(ms: number, run: () => void): () => void
  /** Calls `run` after the input that has already arrived was processed; this takes no time. */
  soon(run: () => void): void
}

/** Longer delays overflow `setTimeout` and would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, Math.min(Math.max(ms, 0), MAX_TIMER_MS))
    return () => clearTimeout(timer)
  },
  soon(run) {
    setImmediate(run)
  },
}
