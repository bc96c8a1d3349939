/**
 * Time that runs faster than the machine's, for the plugin in this process and for what the key
 * service says of its own clock. Holds and pauses of seconds then take a fraction of that, and
 * thousands of histories fit into minutes.
 *
 * @module
 */

import { setImmediate } from 'node:timers'
import type { Clock } from '../../src/base/clock.ts'

const SECOND_MS = 1_000

export class VirtualTime {
  readonly speed: number
  readonly #start: number

  /** @param start where both times are the same, in milliseconds since the epoch */
  constructor(start: number, speed: number) {
    this.#start = Math.floor(start / SECOND_MS) * SECOND_MS
    this.speed = speed
  }

  /** The key service's clock. */
  now(): number {
    return this.#at(Date.now())
  }

  /** A time of the key service, in whole seconds since the epoch. */
  seconds(real: number): number {
    return Math.floor(this.#at(real * SECOND_MS) / SECOND_MS)
  }

  #at(real: number): number {
    return this.#start + (real - this.#start) * this.speed
  }
}

/** The clock of one node, which may be set to another time. */
export class NodeClock implements Clock {
  jumpedMs = 0
  readonly #time: VirtualTime

  constructor(time: VirtualTime) {
    this.#time = time
  }

  now(): number {
    return this.#time.now() + this.jumpedMs
  }

  monotonic(): number {
    return performance.now() * this.#time.speed
  }

  after(ms: number, run: () => void): () => void {
    const timer = setTimeout(run, Math.max(ms, 0) / this.#time.speed)
    return () => clearTimeout(timer)
  }

  soon(run: () => void): void {
    setImmediate(run)
  }
}
