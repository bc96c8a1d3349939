/**
 * Limits repeated log lines, so that an outage under load does not fill a disk: a few of each kind
 * in a while are written, and the rest are counted.
 *
 * @module
 */

const WINDOW_MS = 10_000
const PER_WINDOW = 5
/** More kinds than this at once and the oldest are forgotten, which only lets more through. */
const MAX_KEYS = 200

interface Window {
  start: number
  passed: number
  suppressed: number
}

export class FloodGate {
  readonly #monotonic: () => number
  readonly #windows = new Map<string, Window>()

  constructor(monotonic: () => number) {
    this.#monotonic = monotonic
  }

  /** How many of this kind were held back before this one; undefined for one that is held back itself. */
  pass(key: string): number | undefined {
    const now = this.#monotonic()
    const window = this.#windows.get(key)
    if (window === undefined || now - window.start >= WINDOW_MS) {
      this.#open(key, now)
      return window?.suppressed ?? 0
    }
    if (window.passed < PER_WINDOW) {
      window.passed += 1
      return 0
    }
    window.suppressed += 1
    return undefined
  }

  #open(key: string, start: number): void {
    this.#windows.delete(key)
    this.#windows.set(key, { start, passed: 1, suppressed: 0 })
    if (this.#windows.size <= MAX_KEYS) return
    const [oldest] = this.#windows.keys()
    if (oldest !== undefined) this.#windows.delete(oldest)
  }
}
