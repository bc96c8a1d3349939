/**
 * Makes several attempts at the same request. Each starts when those before it failed or took too
 * long; the first good result counts, and the others are aborted.
 *
 * @module
 */

import type { Clock } from '../clock.ts'
import { KmsError } from '../errors.ts'

export class FirstGood<T> {
  readonly #clock: Clock
  readonly #signal: AbortSignal
  readonly #isGood: (result: T) => boolean
  readonly #controller = new AbortController()
  readonly #abort = () => this.#controller.abort(this.#signal.reason)
  #running = 0
  #good: T | undefined
  #last: T | undefined
  #failure: unknown
  #wake: () => void = () => undefined

  constructor(clock: Clock, signal: AbortSignal, isGood: (result: T) => boolean) {
    this.#clock = clock
    this.#signal = signal
    this.#isGood = isGood
    signal.addEventListener('abort', this.#abort, { once: true })
  }

  /** The newest result that was not good. */
  get last(): T | undefined {
    return this.#last
  }

  /** Starts one more attempt, which rejects only on a bug of this program. */
  add(attempt: (signal: AbortSignal) => Promise<T>): void {
    this.#running += 1
    attempt(this.#controller.signal)
      .then((result) => {
        if (this.#isGood(result)) this.#good ??= result
        else this.#last = result
      })
      .catch((error: unknown) => {
        this.#failure = error
      })
      .finally(() => {
        this.#running -= 1
        this.#wake()
      })
  }

  /**
   * The good result, or undefined when all that run have failed or `patienceMs` is over.
   *
   * @param patienceMs undefined to wait for all
   * @throws the signal's reason
   */
  async wait(patienceMs: number | undefined): Promise<T | undefined> {
    let impatient = false
    const cancel =
      patienceMs === undefined
        ? () => undefined
        : this.#clock.after(patienceMs, () => {
            impatient = true
            this.#wake()
          })
    try {
      while (this.#good === undefined && this.#running > 0 && !impatient) await this.#change()
    } finally {
      cancel()
    }
    if (this.#failure !== undefined) throw this.#failure
    return this.#good
  }

  /** Aborts all attempts that are still running. */
  end(): void {
    this.#signal.removeEventListener('abort', this.#abort)
    this.#controller.abort(new KmsError('Another node was faster', { code: 'cancelled' }))
  }

  async #change(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const abort = () => reject(this.#signal.reason)
    this.#wake = resolve
    this.#signal.addEventListener('abort', abort, { once: true })
    try {
      if (this.#signal.aborted) throw this.#signal.reason
      await promise
    } finally {
      this.#signal.removeEventListener('abort', abort)
    }
  }
}
