/**
 * The background loop that asks the providers, and the snapshot that Status and
 * Encrypt are answered from (design §6). Status costs no remote call, however
 * often it is polled; Status and Encrypt switch in one assignment (rule R2).
 *
 * @module
 */

import { withinLimit } from './call.ts'
import type { Clock } from './clock.ts'
import { anyInputs } from './envelope.ts'
import { KmsError, type KmsErrorCode, toKmsError } from './errors.ts'
import type { EventSink, HealthState, ProviderHealth } from './events.ts'
import { byProviderId, type KeyIdInputs, keyIdOf, type Member } from './key_id.ts'
import { type ProbeResult, probe } from './probe.ts'
import type { RingMember } from './ring_member.ts'
import type { SeenVersion } from './rotation.ts'
import type { SavedState, StateStore } from './state.ts'

export interface HealthOptions {
  readonly ring: readonly RingMember[]
  readonly activationDelayMs: number
  readonly intervalMs: number
  /** How old a good snapshot may get before it counts as an outage. */
  readonly staleAfterMs: number
  /** How long Status keeps answering the last key id while providers are away; 0 turns it off. */
  readonly outageHoldMs: number
  readonly requestTimeoutMs: number
}

export interface HealthDeps {
  readonly clock: Clock
  readonly events: EventSink
  /** Cryptographic randomness. */
  readonly random: (bytes: number) => Uint8Array
  readonly store: StateStore
}

/** What the next Encrypt uses. */
export interface ActiveKeys {
  readonly keyId: string
  readonly inputs: KeyIdInputs
  /** In the order of `inputs.members`. */
  readonly ring: readonly RingMember[]
}

/** The last known health; replaced as a whole, never changed. */
interface Snapshot {
  readonly state: HealthState
  readonly active: ActiveKeys | undefined
  /** When the providers last were as they should be, in monotonic milliseconds. */
  readonly lastSuccess: number | undefined
  readonly error: KmsError | undefined
  readonly providers: readonly ProviderHealth[]
}

/** Failures of the way to the key, which pass; every other one is about the key itself and stops writes at once. */
const OUTAGE: ReadonlySet<KmsErrorCode> = new Set([
  'unavailable',
  'timeout',
  'throttled',
  'cancelled',
  'protocol',
  'internal',
])

const JITTER = 0.2
const FIRST_RETRY_MS = 500
const MAX_RETRY_MS = 3_500
/** However many requests fail, probes keep this distance (rule F7). */
const NUDGE_GAP_MS = 500

export class Health {
  readonly #configured: HealthOptions
  #options: HealthOptions
  readonly #deps: HealthDeps
  readonly #seen = new Map<string, readonly SeenVersion[]>()
  #snapshot: Snapshot
  #failures = 0
  #probing: Promise<void> | undefined
  #lastProbeEnd = Number.NEGATIVE_INFINITY
  #cancelTimer: () => void = () => undefined
  #nextProbeAt = Number.POSITIVE_INFINITY
  #stopped = false
  #saveFailed = false

  constructor(options: HealthOptions, deps: HealthDeps) {
    this.#configured = options
    this.#options = options
    this.#deps = deps
    this.#snapshot = {
      state: 'starting',
      active: undefined,
      lastSuccess: undefined,
      error: undefined,
      providers: [],
    }
  }

  /** Takes up what an earlier process saved, and starts the loop. Settles after the first probe. */
  async start(): Promise<void> {
    const saved = await this.#deps.store.load()
    if (saved !== undefined) this.#resume(saved)
    await this.probeNow()
  }

  /** Replaces what the config says of these; what is absent is as configured. */
  adjust(change: Partial<Pick<HealthOptions, 'activationDelayMs' | 'outageHoldMs'>>): void {
    this.#options = { ...this.#configured, ...change }
  }

  stop(): void {
    this.#stopped = true
    this.#cancelTimer()
  }

  /**
   * What Encrypt uses and Status names, from memory.
   *
   * @throws KmsError when writes must stop
   */
  active(): ActiveKeys {
    const { state, active, error } = this.#snapshot
    if (state !== 'ok') this.nudge()
    if (active !== undefined && (state === 'ok' || state === 'held') && this.#holds()) return active
    throw this.#refusal(state, error)
  }

  /** For `/readyz`: what is wrong now, also while Status still answers the last key id. */
  problem(): string | undefined {
    const { state, error } = this.#snapshot
    if (state === 'ok' && this.#age() <= this.#options.staleAfterMs) return undefined
    return (
      error?.message ?? (state === 'ok' ? 'Health loop is late' : 'No answer of a key service yet')
    )
  }

  /** Asks for a probe soon: a request failed, or one came while the providers are not well. */
  nudge(): void {
    if (this.#probing !== undefined || this.#stopped) return
    const gap = this.#lastProbeEnd + NUDGE_GAP_MS - this.#deps.clock.monotonic()
    this.#scheduleAtMost(Math.max(gap, 0))
  }

  /** Probes at once; one round serves all who ask meanwhile. */
  probeNow(): Promise<void> {
    this.#probing ??= this.#round().finally(() => {
      this.#probing = undefined
      this.#lastProbeEnd = this.#deps.clock.monotonic()
    })
    return this.#probing
  }

  #holds(): boolean {
    const { staleAfterMs, outageHoldMs } = this.#options
    const limit = this.#snapshot.state === 'ok' ? staleAfterMs + outageHoldMs : outageHoldMs
    return this.#age() <= limit
  }

  #age(): number {
    const { lastSuccess } = this.#snapshot
    if (lastSuccess === undefined) return Number.POSITIVE_INFINITY
    return this.#deps.clock.monotonic() - lastSuccess
  }

  #refusal(state: HealthState, error: KmsError | undefined): KmsError {
    const reason = error?.message ?? 'No answer of a key service yet'
    if (state === 'failed') return error ?? new KmsError(reason, { code: 'unavailable' })
    const why = state === 'starting' ? 'Not ready yet' : 'Key service has been away too long'
    return new KmsError(`${why}: ${reason}`, { code: 'unavailable', cause: error })
  }

  async #round(): Promise<void> {
    this.#cancelTimer()
    this.#nextProbeAt = Number.POSITIVE_INFINITY
    const outcomes = await Promise.all(this.#options.ring.map((ring) => this.#probeOne(ring)))
    if (this.#stopped) return
    const results = outcomes.filter(
      (outcome): outcome is ProbeResult => !(outcome instanceof KmsError),
    )
    const errors = outcomes.filter((outcome): outcome is KmsError => outcome instanceof KmsError)
    const providers = this.#options.ring.map((ring, index) =>
      this.#providerHealth(ring, outcomes[index]),
    )
    if (errors.length === 0) this.#succeed(results, providers)
    else this.#fail(errors, providers)
    this.#scheduleAtMost(this.#delay(results))
    await this.#save()
  }

  async #probeOne(ring: RingMember): Promise<ProbeResult | KmsError> {
    const { clock, events, random } = this.#deps
    const { requestTimeoutMs, activationDelayMs } = this.#options
    const deps = { clock, events, random, activationDelayMs }
    const seen = this.#seen.get(ring.provider.id) ?? []
    try {
      return await withinLimit(clock, requestTimeoutMs, (call) => probe(ring, seen, deps, call))
    } catch (error) {
      return toKmsError(error)
    }
  }

  #succeed(results: readonly ProbeResult[], providers: readonly ProviderHealth[]): void {
    for (const { member, seen } of results) this.#seen.set(member.providerId, seen)
    const active = this.#activeKeys(results.map(({ member }) => member))
    this.#failures = 0
    this.#replace({
      state: 'ok',
      active,
      lastSuccess: this.#deps.clock.monotonic(),
      error: undefined,
      providers,
    })
  }

  #fail(errors: readonly KmsError[], providers: readonly ProviderHealth[]): void {
    const fatal = errors.find(({ code }) => !OUTAGE.has(code))
    const { state, active, lastSuccess } = this.#snapshot
    const error = fatal ?? errors[0]
    this.#failures += 1
    if (fatal !== undefined && state !== 'starting') {
      // What is known to be unusable is not resumed by an outage that follows.
      this.#replace({
        state: 'failed',
        active: undefined,
        lastSuccess: undefined,
        error,
        providers,
      })
      return
    }
    const next = active === undefined ? state : 'held'
    // A key that failed stays failed until it works again.
    const kept = state === 'failed' ? this.#snapshot.error : error
    this.#replace({ state: next, active, lastSuccess, error: kept, providers })
  }

  #replace(next: Snapshot): void {
    const previous = this.#snapshot
    this.#snapshot = next
    const { events } = this.#deps
    const keyId = next.active?.keyId
    if (keyId !== undefined && keyId !== previous.active?.keyId) {
      events.emit({ type: 'key_id', keyId, previous: previous.active?.keyId })
    }
    events.emit({
      type: 'health',
      state: next.state,
      previous: previous.state,
      keyId,
      error: next.error,
      holdLeftMs:
        next.state === 'held' ? Math.max(this.#options.outageHoldMs - this.#age(), 0) : undefined,
      providers: next.providers,
    })
  }

  #activeKeys(unsorted: readonly Member[]): ActiveKeys {
    const members = [...unsorted].sort(byProviderId)
    const inputs = anyInputs(members)
    const keyId = keyIdOf(inputs)
    const current = this.#snapshot.active
    if (current?.keyId === keyId) return current
    const byId = new Map(this.#options.ring.map((ring) => [ring.provider.id, ring]))
    const ring = members.flatMap(({ providerId }) => byId.get(providerId) ?? [])
    return { keyId, inputs, ring }
  }

  #providerHealth(ring: RingMember, outcome: ProbeResult | KmsError | undefined): ProviderHealth {
    const failed = outcome === undefined || outcome instanceof KmsError
    const { clock } = this.#deps
    const known = this.#snapshot.providers.find(({ name }) => name === ring.name)
    const base = { name: ring.name, id: ring.provider.id, type: ring.provider.describe().type }
    if (failed) {
      return {
        ...base,
        ok: false,
        error: outcome,
        activeVersion: known?.activeVersion,
        pendingVersion: known?.pendingVersion,
        switchAt: known?.switchAt,
        versions: known?.versions ?? 0,
      }
    }
    return {
      ...base,
      ok: true,
      activeVersion: outcome.member.version,
      pendingVersion: outcome.pendingVersion,
      switchAt: outcome.switchInMs === undefined ? undefined : clock.now() + outcome.switchInMs,
      versions: outcome.seen.length,
    }
  }

  /** Until the next look: sooner when a version becomes active, and after failures. */
  #delay(results: readonly ProbeResult[]): number {
    const jitter = 1 - JITTER * this.#unit()
    if (this.#snapshot.state !== 'ok') {
      return Math.min(FIRST_RETRY_MS * 2 ** (this.#failures - 1), MAX_RETRY_MS) * jitter
    }
    const switches = results.flatMap(({ switchInMs }) => switchInMs ?? [])
    return Math.min(this.#options.intervalMs * jitter, ...switches)
  }

  /** From 0 to 1; for jitter alone. */
  #unit(): number {
    return (this.#deps.random(1)[0] ?? 0) / 255
  }

  #scheduleAtMost(ms: number): void {
    const at = this.#deps.clock.monotonic() + ms
    if (this.#stopped || at >= this.#nextProbeAt) return
    this.#cancelTimer()
    this.#nextProbeAt = at
    this.#cancelTimer = this.#deps.clock.after(ms, () => void this.probeNow())
  }

  #resume({ members, lastSuccess, seen }: SavedState): void {
    for (const { providerId, versions } of seen) this.#seen.set(providerId, versions)
    const configured = this.#options.ring.map(({ provider }) => provider.id).sort()
    const saved = members.map(({ providerId }) => providerId).sort()
    if (saved.length === 0 || saved.join('\n') !== configured.join('\n')) return
    const { clock } = this.#deps
    const age = Math.max(clock.now() - lastSuccess, 0)
    this.#snapshot = {
      state: 'held',
      active: this.#activeKeys(members),
      lastSuccess: clock.monotonic() - age,
      error: undefined,
      providers: [],
    }
  }

  async #save(): Promise<void> {
    const { state, active } = this.#snapshot
    if (state !== 'ok' && state !== 'failed') return
    const seen = [...this.#seen].map(([providerId, versions]) => ({ providerId, versions }))
    const members = active?.inputs.members ?? []
    try {
      await this.#deps.store.save({ members, lastSuccess: this.#deps.clock.now(), seen })
      this.#saveFailed = false
    } catch (error) {
      if (this.#saveFailed) return
      this.#saveFailed = true
      const message = 'Cannot save the state: a restart during an outage will not keep the key id'
      this.#deps.events.emit({
        type: 'notice',
        level: 'warn',
        what: 'state_not_saved',
        message,
        error,
      })
    }
  }
}
