/**
 * Limits how many requests are under way. The limit is halved when the service says that there are
 * too many, and raised by one after every round that succeeds.
 *
 * @module
 */

import { unlessAborted } from '../call.ts'

export class ConcurrencyLimit {
  readonly #most: number
  #limit: number
  #busy = 0
  readonly #waiting = new Set<() => void>()

  constructor(most: number) {
    this.#most = most
    this.#limit = most
  }

  /** Rejects with the signal's reason when it fires before there is room. */
  async run<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    await this.#enter(signal)
    try {
      return await work()
    } finally {
      this.#busy -= 1
      this.#admit()
    }
  }

  wentWell(): void {
    this.#limit = Math.min(this.#most, this.#limit + 1 / this.#limit)
    this.#admit()
  }

  tooMany(): void {
    this.#limit = Math.max(1, this.#limit / 2)
  }

  async #enter(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.add(resolve)
    this.#admit()
    try {
      await unlessAborted(promise, signal)
    } catch (error) {
      // A request that was admitted already gives its place to the next one.
      if (!this.#waiting.delete(resolve)) {
        this.#busy -= 1
        this.#admit()
      }
      throw error
    }
  }

  #admit(): void {
    for (const enter of this.#waiting) {
      if (this.#busy >= Math.floor(this.#limit)) return
      this.#waiting.delete(enter)
      this.#busy += 1
      enter()
    }
  }
}
