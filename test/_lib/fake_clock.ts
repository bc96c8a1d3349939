/** Time that moves only when a test says so. @module */

import { setImmediate } from 'node:timers'
import type { Clock } from '../../src/base/clock.ts'

interface Timer {
  readonly at: number
  readonly run: () => void
}

export class FakeClock implements Clock {
  /** Milliseconds added to the monotonic time to make the wall clock. */
  wallOffset = 1_800_000_000_000
  #monotonic = 0
  #timers = new Set<Timer>()
  readonly #settle: () => Promise<void>
  readonly #quick: boolean

  /**
   * @param quick for code that waits only for this clock and for promises: it lets promises settle
   * in a third of the turns
   */
  constructor({ quick = false } = {}) {
    this.#quick = quick
    this.#settle = quick ? turn : settle
  }

  now(): number {
    return this.#monotonic + this.wallOffset
  }

  monotonic(): number {
    return this.#monotonic
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#monotonic + Math.max(ms, 0), run }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  soon(run: () => void): void {
    if (this.#quick) queueMicrotask(run)
    else setImmediate(run)
  }

  /**
   * Moves the time on by `ms`, runs timers in their order and lets promises settle between them.
   */
  async advance(ms: number): Promise<void> {
    const end = this.#monotonic + ms
    await this.#settle()
    for (;;) {
      const next = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      this.#timers.delete(next)
      this.#monotonic = Math.max(this.#monotonic, next.at)
      next.run()
      await this.#settle()
    }
    this.#monotonic = end
    await this.#settle()
  }
}

/** Lets every promise that can settle without time or I/O settle. */
export async function settle(): Promise<void> {
  for (let times = 0; times < 3; times += 1) await turn()
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
