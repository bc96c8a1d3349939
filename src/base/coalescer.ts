/**
 * Makes few requests to a key service for many callers. The first item is sent at once; items that
 * arrive while requests are under way are sent together as one batch. Equal items that are under
 * way are sent once.
 *
 * @module
 */

import { unlessAborted } from './call.ts'
import type { Clock } from './clock.ts'
import { KmsError, toKmsError } from './errors.ts'
import type { Call, Outcome } from './provider.ts'
import type { BatchRecord, KeyUseRecord } from './request_record.ts'

interface CoalescerOptions<TItem, TValue> {
  readonly clock: Clock
  /**
   * As many results as items, in their order; a rejection fails them all.
   *
   * @param record undefined where no caller has one
   */
  readonly run: (
    items: readonly TItem[],
    call: Call,
    record: BatchRecord | undefined,
  ) => Promise<readonly Outcome<TValue>[]>
  /** How many items one batch takes; with 1 nothing waits for anything. */
  readonly maxItems: number
  /** Items of one name have one result; undefined for items that are never equal. */
  readonly nameOf?: (item: TItem) => string
  /** Called for each item that is not sent, because an equal one serves it. */
  readonly coalesced?: () => void
}

/** Two keep the service busy while an answer is on its way; more made batches smaller and everything slower. */
const IN_FLIGHT = 2
/** The maximum when those under way hang. */
const MAX_IN_FLIGHT = 8
/** An item waits for a batch under way at most so many times as long as batches usually take. */
const PATIENCE = 4
const MIN_PATIENCE_MS = 25
const MAX_PATIENCE_MS = 500
/** A batch older than this may hang: an equal item that comes later is sent again. */
const JOIN_WITHIN_MS = 250
/** Weight of the newest batch in what batches usually take. */
const NEWEST = 0.2

interface Waiter<TValue> {
  readonly deadline: number
  readonly use: KeyUseRecord | undefined
  readonly settle: (outcome: Outcome<TValue>) => void
}

interface Entry<TItem, TValue> {
  readonly item: TItem
  readonly name: string | undefined
  readonly waiters: Set<Waiter<TValue>>
  /** Undefined while it waits to leave. */
  batch: Batch<TItem, TValue> | undefined
}

interface Batch<TItem, TValue> {
  readonly entries: readonly Entry<TItem, TValue>[]
  readonly controller: AbortController
  readonly start: number
  readonly record: { readonly uses: KeyUseRecord[] } | undefined
}

export class Coalescer<TItem, TValue> {
  readonly #options: CoalescerOptions<TItem, TValue>
  /** In the order of arrival. */
  readonly #queue: Entry<TItem, TValue>[] = []
  readonly #byName = new Map<string, Entry<TItem, TValue>>()
  #inFlight = 0
  #usualMs = 0
  #launching = false
  #cancelPatience: (() => void) | undefined

  constructor(options: CoalescerOptions<TItem, TValue>) {
    this.#options = options
  }

  /**
   * The item's own result; rejects with the call's reason as soon as its signal fires.
   *
   * @param use learns which batch carries it
   */
  submit(item: TItem, { signal, deadline }: Call, use?: KeyUseRecord): Promise<TValue> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const entry = this.#entryOf(item)
      const leave = () => {
        this.#forget(entry, waiter)
        reject(signal.reason)
      }
      const waiter: Waiter<TValue> = {
        deadline,
        use,
        settle(outcome) {
          signal.removeEventListener('abort', leave)
          if (outcome.ok) resolve(outcome.value)
          else reject(outcome.error)
        },
      }
      signal.addEventListener('abort', leave, { once: true })
      entry.waiters.add(waiter)
      if (use !== undefined) joined(entry.batch, use)
      this.#launchSoon()
    })
  }

  #entryOf(item: TItem): Entry<TItem, TValue> {
    const name = this.#options.nameOf?.(item)
    const equal = name === undefined ? undefined : this.#byName.get(name)
    if (equal !== undefined && !this.#mayHang(equal)) {
      this.#options.coalesced?.()
      return equal
    }
    const entry: Entry<TItem, TValue> = { item, name, waiters: new Set(), batch: undefined }
    if (name !== undefined) this.#byName.set(name, entry)
    this.#queue.push(entry)
    return entry
  }

  #mayHang({ batch }: Entry<TItem, TValue>): boolean {
    return batch !== undefined && this.#options.clock.monotonic() - batch.start > JOIN_WITHIN_MS
  }

  /** Removes a caller that gave up from its entry, and the entry itself when no caller is left. */
  #forget(entry: Entry<TItem, TValue>, waiter: Waiter<TValue>): void {
    entry.waiters.delete(waiter)
    if (entry.waiters.size > 0) return
    this.#unname(entry)
    const { batch } = entry
    const waiting = this.#queue.indexOf(entry)
    if (waiting !== -1) this.#queue.splice(waiting, 1)
    if (batch?.entries.every(({ waiters }) => waiters.size === 0) !== true) return
    batch.controller.abort(new KmsError('Nobody waits any more', { code: 'cancelled' }))
  }

  #unname(entry: Entry<TItem, TValue>): void {
    if (entry.name !== undefined && this.#byName.get(entry.name) === entry) {
      this.#byName.delete(entry.name)
    }
  }

  /** Whatever came in at once leaves at once. */
  #launchSoon(): void {
    if (this.#options.maxItems === 1) this.#launch()
    else if (!this.#launching) {
      this.#launching = true
      this.#options.clock.soon(() => {
        this.#launching = false
        this.#launch()
      })
    }
  }

  #launch(): void {
    const limit = this.#options.maxItems === 1 ? Number.POSITIVE_INFINITY : IN_FLIGHT
    while (this.#queue.length > 0 && this.#inFlight < limit) void this.#send()
    this.#watchQueue()
  }

  /** Batches that hang hold up nothing that came after them for long. */
  #watchQueue(): void {
    if (this.#queue.length === 0 || this.#inFlight >= MAX_IN_FLIGHT) {
      this.#cancelPatience?.()
      this.#cancelPatience = undefined
      return
    }
    if (this.#cancelPatience !== undefined) return
    const ms = Math.min(Math.max(this.#usualMs * PATIENCE, MIN_PATIENCE_MS), MAX_PATIENCE_MS)
    this.#cancelPatience = this.#options.clock.after(ms, () => {
      this.#cancelPatience = undefined
      if (this.#queue.length > 0) void this.#send()
      this.#watchQueue()
    })
  }

  async #send(): Promise<void> {
    const { clock, run } = this.#options
    const entries = this.#queue.splice(0, this.#options.maxItems)
    const record = recordOf(entries)
    const start = clock.monotonic()
    const batch = { entries, controller: new AbortController(), start, record }
    for (const entry of entries) entry.batch = batch
    this.#inFlight += 1
    const { signal } = batch.controller
    const items = entries.map(({ item }) => item)
    const deadline = latestDeadline(entries)
    // Whoever gave up without a word must not keep the slot of a batch that hangs for ever.
    const cancelLimit = clock.after(deadline - batch.start, () => {
      batch.controller.abort(new KmsError('Gave up at the deadline', { code: 'timeout' }))
    })
    const sent = () => run(items, { signal, deadline }, record)
    const outcomes = await settled(sent, items.length, signal)
    cancelLimit()
    this.#inFlight -= 1
    this.#usualMs += (clock.monotonic() - batch.start - this.#usualMs) * NEWEST
    for (const [index, entry] of entries.entries()) this.#settle(entry, outcomes[index])
    // A slot is free again, so the waiting time of the items in the queue starts again.
    this.#cancelPatience?.()
    this.#cancelPatience = undefined
    if (this.#queue.length > 0) this.#launchSoon()
  }

  #settle(entry: Entry<TItem, TValue>, outcome: Outcome<TValue> | undefined): void {
    this.#unname(entry)
    if (outcome === undefined) return
    for (const waiter of entry.waiters) waiter.settle(outcome)
  }
}

function latestDeadline<TItem, TValue>(entries: readonly Entry<TItem, TValue>[]): number {
  let latest = 0
  for (const { waiters } of entries) {
    for (const { deadline } of waiters) latest = Math.max(latest, deadline)
  }
  return latest
}

/** Of all who wait for these now; whoever joins later is added. */
function recordOf<TItem, TValue>(
  entries: readonly Entry<TItem, TValue>[],
): Batch<TItem, TValue>['record'] {
  let record: { readonly uses: KeyUseRecord[] } | undefined
  for (const { waiters } of entries) {
    for (const { use } of waiters) {
      if (use === undefined) continue
      record ??= { uses: [] }
      record.uses.push(use)
      use.batch = record
    }
  }
  return record
}

function joined<TItem, TValue>(batch: Batch<TItem, TValue> | undefined, use: KeyUseRecord): void {
  if (batch?.record === undefined) return
  batch.record.uses.push(use)
  use.batch = batch.record
}

/** Always returns as many outcomes as items, even when the work ignores its signal. */
async function settled<TValue>(
  run: () => Promise<readonly Outcome<TValue>[]>,
  count: number,
  signal: AbortSignal,
): Promise<readonly Outcome<TValue>[]> {
  try {
    return await unlessAborted(run(), signal)
  } catch (thrown) {
    const failed = { ok: false, error: toKmsError(thrown) } as const
    return Array.from({ length: count }, () => failed)
  }
}
