/**
 * One attempt for all who wait for the same: however many ask while it is under way, it is
 * made once.
 *
 * @module
 */

import { unlessAborted } from '../call.ts'

export class SingleFlight<T> {
  #underWay: Promise<T> | undefined

  get underWay(): Promise<T> | undefined {
    return this.#underWay
  }

  /** Whoever waits does so no longer than its own signal allows; the attempt goes on for the others. */
  run(attempt: () => Promise<T>, signal: AbortSignal): Promise<T> {
    this.#underWay ??= attempt().finally(() => {
      this.#underWay = undefined
    })
    return unlessAborted(this.#underWay, signal)
  }
}
