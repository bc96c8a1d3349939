/**
 * A limit on how many requests are under way, which gives way where the service says
 * that there are too many: halved then, and raised again by one for every round that
 * goes well.
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
      // One that was let in already gives its place to the next.
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
