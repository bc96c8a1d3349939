/**
 * Spans on their way to a collector: few wait, a request at a time is under way, and whatever the
 * collector does holds up nobody. What it does not take is dropped and counted.
 *
 * @module
 */

import { unlessAborted, withinLimit } from '../../base/call.ts'
import type { Clock } from '../../base/clock.ts'
import { toKmsError } from '../../base/errors.ts'
import type { EventSink } from '../../base/events.ts'
import { notifierOf } from '../../base/notices.ts'
import type { Call } from '../../base/provider.ts'

interface SpanQueueDeps {
  readonly clock: Clock
  readonly events: EventSink
  /** Resolves to how many of them the collector did not take. */
  readonly send: (spans: readonly string[], call: Call) => Promise<number>
}

/** Those that are under way count too. */
const MAX_WAITING = 2_048
const BATCH_SPANS = 512
const INTERVAL_MS = 5_000
/** With all that is tried again. */
const BATCH_LIMIT_MS = 60_000
/** Only after so long without a failure it is said that all is well again. */
const STEADY_MS = 60_000
/** At the end: for what is under way, and then for what is left. */
const FAREWELL_MS = 500

export class SpanQueue {
  readonly #deps: SpanQueueDeps
  readonly #stop = new AbortController()
  readonly #waiting: string[] = []
  #cancelTimer: (() => void) | undefined
  #sending: Promise<void> | undefined
  #closed = false
  #failedAt: number | undefined

  constructor(deps: SpanQueueDeps) {
    this.#deps = deps
    // Both series of the metric are there from the start.
    this.#count('sent', 0)
    this.#count('dropped', 0)
  }

  add(span: string): void {
    if (this.#closed || this.#waiting.length >= MAX_WAITING) {
      this.#count('dropped', 1)
      return
    }
    this.#waiting.push(span)
    if (this.#waiting.length >= BATCH_SPANS) this.#send()
    else this.#sendLater()
  }

  /** Takes two times `FAREWELL_MS` at most. */
  async close(): Promise<void> {
    const { clock } = this.#deps
    this.#closed = true
    this.#cancelTimer?.()
    const underWay = async () => await this.#sending
    await withinLimit(clock, FAREWELL_MS, underWay).catch(() => undefined)
    this.#stop.abort(new Error('The plugin stops'))
    await this.#sending
    await withinLimit(clock, FAREWELL_MS, (call) => this.#sendRest(call)).catch(() => undefined)
    this.#count('dropped', this.#waiting.splice(0).length)
  }

  #sendLater(): void {
    this.#cancelTimer ??= this.#deps.clock.after(INTERVAL_MS, () => {
      this.#cancelTimer = undefined
      this.#send()
    })
  }

  #send(): void {
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = undefined
      if (this.#waiting.length > 0 && !this.#closed) this.#sendLater()
    })
  }

  async #sendAll(): Promise<void> {
    const { clock } = this.#deps
    const { signal } = this.#stop
    // The request whose span was the last one is answered first.
    await new Promise<void>((resolve) => clock.soon(resolve))
    do {
      await this.#sendBatch({ signal, deadline: clock.monotonic() + BATCH_LIMIT_MS })
    } while (this.#waiting.length >= BATCH_SPANS && !signal.aborted)
  }

  async #sendRest(call: Call): Promise<void> {
    let goesWell = true
    while (goesWell && this.#waiting.length > 0) goesWell = await this.#sendBatch(call)
  }

  /** False where nothing came of it. */
  async #sendBatch(call: Call): Promise<boolean> {
    const batch = this.#waiting.slice(0, BATCH_SPANS)
    try {
      const rejected = await unlessAborted(this.#deps.send(batch, call), call.signal)
      const lost = Math.min(Math.max(rejected, 0), batch.length)
      this.#waiting.splice(0, batch.length)
      this.#count('sent', batch.length - lost)
      this.#count('dropped', lost)
      if (lost === 0) this.#works()
      else this.#fails(`it took ${batch.length - lost} of ${batch.length}`)
      return true
    } catch (error) {
      // Those that the end of the plugin came upon are sent once more.
      if (call.signal.aborted) return false
      this.#waiting.splice(0, batch.length)
      this.#count('dropped', batch.length)
      this.#fails(toKmsError(error).message, error)
      return false
    }
  }

  #count(outcome: 'sent' | 'dropped', spans: number): void {
    this.#deps.events.emit({ type: 'trace_spans', outcome, spans })
  }

  /** Once, until it works again. */
  #fails(why: string, error?: unknown): void {
    const { clock, events } = this.#deps
    const isNew = this.#failedAt === undefined
    this.#failedAt = clock.monotonic()
    if (!isNew) return
    const message = `The collector does not take spans, which are dropped: ${why}`
    notifierOf(events, {})('warn', 'traces_failed', message, error)
  }

  #works(): void {
    const { clock, events } = this.#deps
    if (this.#failedAt === undefined || clock.monotonic() - this.#failedAt < STEADY_MS) return
    this.#failedAt = undefined
    notifierOf(events, {})('info', 'traces_sent', 'The collector takes spans again')
  }
}
