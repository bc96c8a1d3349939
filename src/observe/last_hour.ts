/**
 * What happened in each minute of the last hour: counts and latencies, in rings of a fixed size.
 * Counting costs a few additions a request; everything else is computed when somebody looks.
 *
 * @module
 */

import type { KmsEvent } from '../base/events.ts'
import type { LastHour, Series } from './status_document.ts'

const MINUTE_MS = 60_000
const MINUTES = 60
/** Buckets grow by the root of two, from a quarter of a millisecond up to eight seconds. */
const FIRST_MS = 0.25
const STEPS = 2
const BUCKETS = 32
const METHODS = ['Encrypt', 'Decrypt', 'Status']

export class LastHourRing {
  readonly #now: () => number
  readonly #start: number
  readonly #requests = new Map(METHODS.map((method) => [method, new SeriesRing()]))
  readonly #providers = new Map<string, SeriesRing>()

  /** @param now milliseconds since the epoch */
  constructor(now: () => number) {
    this.#now = now
    this.#start = minuteOf(now())
  }

  take(event: KmsEvent): void {
    if (event.type === 'request') {
      const { method, code, durationMs } = event
      this.#requests.get(method)?.add(minuteOf(this.#now()), durationMs, code !== 'ok')
    } else if (event.type === 'provider_call' && event.operation !== 'key_state') {
      const { provider, code, durationMs } = event
      this.#ringOf(provider).add(minuteOf(this.#now()), durationMs, code !== 'ok')
    }
  }

  report(): LastHour {
    const last = minuteOf(this.#now())
    // The clock of a node may be set back.
    const first = Math.min(Math.max(this.#start, last - MINUTES + 1), last)
    const all = (rings: ReadonlyMap<string, SeriesRing>) =>
      Object.fromEntries([...rings].map(([name, ring]) => [name, ring.report(first, last)]))
    return {
      from: new Date(first * MINUTE_MS).toISOString(),
      requests: all(this.#requests),
      providers: all(this.#providers),
    }
  }

  #ringOf(provider: string): SeriesRing {
    const ring = this.#providers.get(provider) ?? new SeriesRing()
    this.#providers.set(provider, ring)
    return ring
  }
}

function minuteOf(ms: number): number {
  return Math.floor(ms / MINUTE_MS)
}

/** A minute's slot is cleared when the next minute takes it. */
class SeriesRing {
  readonly #minutes = new Float64Array(MINUTES)
  readonly #failed = new Uint32Array(MINUTES)
  readonly #buckets = new Uint32Array(MINUTES * BUCKETS)

  add(minute: number, ms: number, failed: boolean): void {
    const slot = minute % MINUTES
    if (this.#minutes[slot] !== minute) this.#clear(slot, minute)
    if (failed) this.#failed[slot] = (this.#failed[slot] ?? 0) + 1
    const at = slot * BUCKETS + bucketOf(ms)
    this.#buckets[at] = (this.#buckets[at] ?? 0) + 1
  }

  report(first: number, last: number): Series {
    const minutes = Array.from({ length: last - first + 1 }, (_, index) => this.#at(first + index))
    return {
      count: minutes.map(({ buckets }) => buckets.reduce((sum, count) => sum + count, 0)),
      failed: minutes.map(({ failed }) => failed),
      p50Ms: minutes.map(({ buckets }) => quantileOf(buckets, 0.5)),
      p99Ms: minutes.map(({ buckets }) => quantileOf(buckets, 0.99)),
    }
  }

  #at(minute: number) {
    const slot = minute % MINUTES
    if (this.#minutes[slot] !== minute) return { failed: 0, buckets: new Uint32Array() }
    const buckets = this.#buckets.subarray(slot * BUCKETS, (slot + 1) * BUCKETS)
    return { failed: this.#failed[slot] ?? 0, buckets }
  }

  #clear(slot: number, minute: number): void {
    this.#minutes[slot] = minute
    this.#failed[slot] = 0
    this.#buckets.fill(0, slot * BUCKETS, (slot + 1) * BUCKETS)
  }
}

function bucketOf(ms: number): number {
  if (!(ms > FIRST_MS)) return 0
  return Math.min(Math.ceil(STEPS * Math.log2(ms / FIRST_MS)), BUCKETS - 1)
}

/** As Prometheus estimates it: by even steps within a bucket. */
function quantileOf(buckets: Uint32Array, part: number): number | null {
  const wanted = part * buckets.reduce((sum, count) => sum + count, 0)
  if (wanted === 0) return null
  let below = 0
  for (const [index, count] of buckets.entries()) {
    if (below + count >= wanted) {
      const from = index === 0 ? 0 : limitOf(index - 1)
      const ms = from + ((limitOf(index) - from) * (wanted - below)) / count
      return Number(ms.toPrecision(3))
    }
    below += count
  }
  return null
}

function limitOf(bucket: number): number {
  return FIRST_MS * 2 ** (bucket / STEPS)
}
