/**
 * How long a provider usually takes, by its latest answers. This decides which provider is asked
 * first, and when another one is asked as well.
 *
 * @module
 */

const KEPT = 64
/** Sorting after every request would cost more than it gains. */
const RENEW_AFTER = 8
const QUANTILE = 0.95
/** Weight of the newest answer in what is typical. */
const NEWEST = 0.2

export class Latency {
  readonly #samples: number[] = []
  #next = 0
  #sinceSorted = RENEW_AFTER
  #p95: number | undefined
  #typical: number | undefined

  /**
   * @param ms how long a caller waited in vain; a long wait has one reason, a slow provider, and a
   * short one may have many
   */
  observeNone(ms: number): void {
    if (ms > (this.#typical ?? 0)) this.observe(ms)
  }

  /** @param ms how long an answer took */
  observe(ms: number): void {
    this.#samples[this.#next] = ms
    this.#next = (this.#next + 1) % KEPT
    this.#sinceSorted += 1
    this.#typical = this.#typical === undefined ? ms : this.#typical + (ms - this.#typical) * NEWEST
  }

  /** Milliseconds, weighted towards the latest; undefined before the first answer. */
  get typical(): number | undefined {
    return this.#typical
  }

  /** Milliseconds that 95 of 100 of the latest answers stayed under; undefined before the first. */
  get p95(): number | undefined {
    if (this.#sinceSorted >= RENEW_AFTER) {
      const sorted = [...this.#samples].sort((a, b) => a - b)
      this.#p95 = sorted[Math.floor((sorted.length - 1) * QUANTILE)]
      this.#sinceSorted = 0
    }
    return this.#p95
  }
}
