/**
 * Asks one provider regularly in the background, and keeps the latest observation
 * (docs/architecture.md, "A rotation"). Several endpoints may share one monitor; each decides for
 * itself what the observation means for its key id.
 *
 * @module
 */

import { withinLimit } from '../base/call.ts'
import type { Clock } from '../base/clock.ts'
import { type KmsError, toKmsError } from '../base/errors.ts'
import type { EventSink } from '../base/events.ts'
import { ServiceClock } from '../base/service_clock.ts'
import type { BatchedProvider } from './batched_provider.ts'
import type { Observation } from './observation.ts'
import { type ProbeResult, probe } from './probe.ts'
import type { SeenVersion } from './rotation.ts'

export interface MonitorOptions {
  readonly activationDelayMs: number
  readonly intervalMs: number
  readonly requestTimeoutMs: number
  /** Nothing is written to the provider any more. */
  readonly decryptOnly?: boolean
  /** Nothing is written to the provider before this time, in milliseconds since the epoch. */
  readonly activeFrom?: number | undefined
  /** Ids that the same key had before. */
  readonly formerIds?: readonly string[]
}

interface MonitorDeps {
  readonly clock: Clock
  readonly events: EventSink
  /** Cryptographic randomness. */
  readonly random: (bytes: number) => Uint8Array
  /** What earlier processes saw, and where to tell it to later ones. */
  readonly book: VersionBook
}

interface VersionBook {
  seenOf(providerId: string): readonly SeenVersion[]
  putSeen(providerId: string, versions: readonly SeenVersion[]): void
}

const JITTER = 0.2
const FIRST_RETRY_MS = 500
const MAX_RETRY_MS = 3_500
/** However many requests fail, probes keep this distance (rule F7). */
const NUDGE_GAP_MS = 500

export class ProviderMonitor {
  readonly batched: BatchedProvider
  readonly options: MonitorOptions
  readonly #deps: MonitorDeps
  readonly #listeners = new Set<() => void>()
  readonly #serviceClock = new ServiceClock()
  #activationDelayMs: number
  #observation: Observation
  #probing: Promise<void> | undefined
  #lastProbeEnd = Number.NEGATIVE_INFINITY
  #cancelTimer: () => void = () => undefined
  #nextProbeAt = Number.POSITIVE_INFINITY
  #stopped = false

  constructor(batched: BatchedProvider, options: MonitorOptions, deps: MonitorDeps) {
    this.batched = batched
    this.options = options
    this.#deps = deps
    this.#activationDelayMs = options.activationDelayMs
    this.#observation = {
      ok: false,
      known: undefined,
      error: undefined,
      since: deps.clock.monotonic(),
      lastSuccess: undefined,
      failures: 0,
    }
  }

  get id(): string {
    return this.batched.provider.id
  }

  get observation(): Observation {
    return this.#observation
  }

  /** True once it was told to probe. */
  get started(): boolean {
    return this.#probing !== undefined || this.#lastProbeEnd !== Number.NEGATIVE_INFINITY
  }

  /** True from the start until the first answer. */
  get probingFirst(): boolean {
    return this.#probing !== undefined && this.#lastProbeEnd === Number.NEGATIVE_INFINITY
  }

  /** False while, or since, the config lets it be read only. */
  get writes(): boolean {
    return this.writesInMs === 0
  }

  /** Until it may be written to: 0 for now, undefined for never. */
  get writesInMs(): number | undefined {
    const { decryptOnly, activeFrom } = this.options
    if (decryptOnly === true) return undefined
    if (activeFrom === undefined) return 0
    const ahead = this.#observation.known?.clockAheadMs ?? 0
    return Math.max(activeFrom - (this.#deps.clock.now() + ahead), 0)
  }

  /** Calls `listener` after each probe; the returned function ends that. */
  onProbe(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Replaces what the config says; undefined is as configured. */
  adjust(activationDelayMs: number | undefined): void {
    this.#activationDelayMs = activationDelayMs ?? this.options.activationDelayMs
  }

  stop(): void {
    this.#stopped = true
    this.#cancelTimer()
  }

  /** Asks for a probe soon: a request failed, or one came while the provider is not well. */
  nudge(): void {
    if (this.#probing !== undefined || this.#stopped) return
    const gap = this.#lastProbeEnd + NUDGE_GAP_MS - this.#deps.clock.monotonic()
    this.#scheduleAtMost(Math.max(gap, 0))
  }

  /** Probes the provider at once; callers that come meanwhile share the result. */
  probe(): Promise<void> {
    this.#probing ??= this.#round().finally(() => {
      this.#probing = undefined
      this.#lastProbeEnd = this.#deps.clock.monotonic()
    })
    return this.#probing
  }

  async #round(): Promise<void> {
    this.#cancelTimer()
    this.#nextProbeAt = Number.POSITIVE_INFINITY
    const outcome = await this.#tryProbe()
    if (this.#stopped) return
    this.#take(outcome)
    this.#scheduleAtMost(this.#delay())
    for (const listener of [...this.#listeners]) listener()
  }

  async #tryProbe(): Promise<ProbeResult | KmsError> {
    const { clock, events, random, book } = this.#deps
    const { requestTimeoutMs, decryptOnly: readOnly = false } = this.options
    const activationDelayMs = this.#activationDelayMs
    const serviceClock = this.#serviceClock
    const deps = { clock, events, random, serviceClock, activationDelayMs, readOnly }
    const seen = book.seenOf(this.id)
    try {
      return await withinLimit(clock, requestTimeoutMs, (call) =>
        probe(this.batched, seen, deps, call),
      )
    } catch (error) {
      return toKmsError(error)
    }
  }

  #take(outcome: ProbeResult | Error): void {
    const now = this.#deps.clock.monotonic()
    const { ok, known, since, failures, lastSuccess } = this.#observation
    if (outcome instanceof Error) {
      this.#observation = {
        ok: false,
        known,
        error: toKmsError(outcome),
        // A provider that was never asked counts as away since the start.
        since: ok ? now : since,
        lastSuccess,
        failures: failures + 1,
      }
      return
    }
    this.#deps.book.putSeen(this.id, outcome.seen)
    this.#observation = {
      ok: true,
      known: outcome,
      error: undefined,
      since: ok ? since : now,
      lastSuccess: now,
      failures: 0,
    }
  }

  /** Until the next probe: sooner when a version becomes active, and after failures. */
  #delay(): number {
    const jitter = 1 - (JITTER * (this.#deps.random(1)[0] ?? 0)) / 255
    const { failures, known } = this.#observation
    if (failures > 0) return Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), MAX_RETRY_MS) * jitter
    return Math.min(this.options.intervalMs * jitter, known?.switchInMs ?? Number.POSITIVE_INFINITY)
  }

  #scheduleAtMost(ms: number): void {
    const at = this.#deps.clock.monotonic() + ms
    if (this.#stopped || at >= this.#nextProbeAt) return
    this.#cancelTimer()
    this.#nextProbeAt = at
    this.#cancelTimer = this.#deps.clock.after(ms, () => void this.probe())
  }
}
