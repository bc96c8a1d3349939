/**
 * The view that Status and Encrypt are answered from (design §6): which
 * providers wrap, under which key id, and for how long that holds. It costs no
 * remote call, however often it is asked; Status and Encrypt switch in one
 * assignment (rule R2).
 *
 * @module
 */

import type { Clock } from '../base/clock.ts'
import { KmsError } from '../base/errors.ts'
import type { EventSink, HealthState, KmsApi } from '../base/events.ts'
import { inputsOf } from './envelope.ts'
import { providerHealth, saidOfWriters } from './health_report.ts'
import { type KeyIdInputs, keyIdOf, type Member, type Scheme } from './key_id.ts'
import type { ProviderMonitor } from './provider_monitor.ts'
import type { StateBook } from './state.ts'
import {
  type Choice,
  chooseWriters,
  type Writer,
  type WriterRules,
  type WriterSet,
} from './writers.ts'

export interface Protection extends Scheme, WriterRules {}

export interface EndpointHealthOptions {
  /** The endpoint's name. */
  readonly name: string
  /** All providers of the endpoint, those that are only read too. */
  readonly monitors: readonly ProviderMonitor[]
  readonly protection: Protection
  /** Thumbprints of the recovery recipients, sorted. */
  readonly recipients: readonly string[]
  /** How old a good view may get before it counts as an outage. */
  readonly staleAfterMs: number
  /** How long Status keeps answering the last key id while providers are away; 0 turns it off. */
  readonly outageHoldMs: number
}

export interface EndpointHealthDeps {
  readonly clock: Clock
  readonly events: EventSink
  readonly book: StateBook
}

/** What the next Encrypt uses. */
export interface ActiveKeys {
  readonly keyId: string
  readonly inputs: KeyIdInputs
  /** In the order of `inputs.members`. */
  readonly monitors: readonly ProviderMonitor[]
}

/** The last known health; replaced as a whole, never changed. */
interface HealthView {
  readonly state: HealthState
  readonly active: ActiveKeys | undefined
  /** What v1beta1 wraps with, which needs a key service for every write. */
  readonly v1: ActiveKeys | undefined
  /** Ids of providers that were left out since they were not well. */
  readonly out: ReadonlySet<string>
  /** When the members of `active` last were as they should be, in monotonic milliseconds. */
  readonly lastSuccess: number | undefined
  /** True while a provider is away that the others are about to be used without. */
  readonly othersSuffice: boolean
  readonly error: KmsError | undefined
  /** Since when fewer providers wrap than should, in monotonic milliseconds. */
  readonly degradedSince: number | undefined
}

export class EndpointHealth {
  readonly #options: EndpointHealthOptions
  readonly #deps: EndpointHealthDeps
  readonly #stopListening: (() => void)[] = []
  #outageHoldMs: number
  /** Since when there has been no active set, in monotonic milliseconds. */
  #absentSince: number
  #view: HealthView
  #cancelTimer: () => void = () => undefined
  #stopped = false

  constructor(options: EndpointHealthOptions, deps: EndpointHealthDeps) {
    this.#options = options
    this.#deps = deps
    this.#outageHoldMs = options.outageHoldMs
    this.#absentSince = deps.clock.monotonic()
    this.#view = {
      state: 'starting',
      active: undefined,
      v1: undefined,
      out: new Set(),
      lastSuccess: undefined,
      othersSuffice: false,
      error: undefined,
      degradedSince: undefined,
    }
  }

  /** Takes up what an earlier process or config left, and follows the monitors. */
  start(): void {
    this.#resume()
    for (const monitor of this.#options.monitors) {
      this.#stopListening.push(monitor.onProbe(() => this.#decide()))
    }
    if (this.#options.monitors.some(({ observation }) => observation.known !== undefined))
      this.#decide()
  }

  /** True where a start now would have something to answer. */
  canServe(): boolean {
    const resumable = this.#resumable()
    const before = {
      active: resumable && new Set(resumable.standing.map(({ id }) => id)),
      out: new Set(resumable?.saved.out),
    }
    const { verdict } = this.#choose(before)
    return verdict === 'settled' || verdict === 'waiting'
  }

  stop(): void {
    this.#stopped = true
    this.#cancelTimer()
    for (const stopListening of this.#stopListening) stopListening()
  }

  /** Replaces what the config says; undefined is as configured. */
  adjust(outageHoldMs: number | undefined): void {
    this.#outageHoldMs = outageHoldMs ?? this.#options.outageHoldMs
  }

  /**
   * What Encrypt uses and Status names, from memory.
   *
   * @throws KmsError when writes must stop
   */
  active(api: KmsApi = 'v2'): ActiveKeys {
    const { state, active, v1, error } = this.#view
    if (state !== 'ok') this.#nudgeUnwell()
    if (api === 'v1beta1' && v1 !== undefined) return v1
    if (active !== undefined && this.#holds()) return active
    throw this.#refusal(state, error)
  }

  /** With fewer providers nothing may be written. */
  get minimum(): number {
    return this.#options.protection.minimum
  }

  /** For `/readyz`: what is wrong now, also while Status still answers the last key id. */
  problem(): string | undefined {
    const { state, error } = this.#view
    const fresh = this.#age() <= this.#options.staleAfterMs
    if ((state === 'ok' || state === 'degraded') && fresh) return undefined
    const late = state === 'ok' || state === 'degraded'
    return error?.message ?? (late ? 'Health loop is late' : 'No answer of a key service yet')
  }

  #nudgeUnwell(): void {
    for (const monitor of this.#options.monitors) if (!monitor.observation.ok) monitor.nudge()
  }

  #holds(): boolean {
    const { state, othersSuffice } = this.#view
    const { staleAfterMs, protection } = this.#options
    const age = this.#age()
    if (state !== 'held') return age <= staleAfterMs + this.#outageHoldMs
    return age <= this.#outageHoldMs || (othersSuffice && age <= protection.holdMs + staleAfterMs)
  }

  #age(): number {
    const { lastSuccess } = this.#view
    if (lastSuccess === undefined) return Number.POSITIVE_INFINITY
    return this.#deps.clock.monotonic() - lastSuccess
  }

  #refusal(state: HealthState, error: KmsError | undefined): KmsError {
    const reason = error?.message ?? 'No answer of a key service yet'
    if (state === 'failed') return error ?? new KmsError(reason, { code: 'unavailable' })
    const why = state === 'starting' ? 'Not ready yet' : 'Key service has been away too long'
    return new KmsError(`${why}: ${reason}`, { code: 'unavailable', cause: error })
  }

  /** Decides anew over what is known of the providers. */
  #decide(): void {
    if (this.#stopped) return
    const choice = this.#choose(this.#chosen())
    this.#replace(this.#viewOf(choice, this.#writing()))
    this.#decideAgainIn(choice.againInMs)
  }

  #choose(before: WriterSet): Choice {
    const now = this.#deps.clock.monotonic()
    return chooseWriters(
      this.#writing().map((monitor) => this.#writerOf(monitor, now)),
      before,
      now - this.#absentSince,
      this.#options.protection,
    )
  }

  #writing(): readonly ProviderMonitor[] {
    return this.#options.monitors.filter(({ writes }) => writes)
  }

  #chosen(): WriterSet {
    const { active, out } = this.#view
    return { active: active && new Set(active.monitors.map(({ id }) => id)), out }
  }

  #writerOf(monitor: ProviderMonitor, now: number): Writer {
    const { ok, known, error, since } = monitor.observation
    const standing = this.#view.active?.inputs.members.find(
      ({ providerId }) => providerId === monitor.id,
    )
    return {
      id: monitor.id,
      asked: known !== undefined || error !== undefined,
      ok,
      lost: monitor.lost,
      forMs: now - since,
      mustLeave: standing !== undefined && known?.usable.has(standing.version) === false,
    }
  }

  #viewOf(choice: Choice, writing: readonly ProviderMonitor[]): HealthView {
    const { active: ids, out, othersSuffice } = choice
    const before = this.#view
    const unwell =
      writing.find(({ lost }) => lost) ?? writing.find(({ observation }) => !observation.ok)
    const error = unwell?.observation.error
    const base = { out, othersSuffice, error, degradedSince: before.degradedSince }
    if (choice.verdict === 'settled' && ids !== undefined) {
      return this.#settled(
        writing.filter(({ id }) => ids.has(id)),
        writing,
        base,
      )
    }
    const v1 = this.#readyFor(writing, before.active)
    if (choice.verdict === 'waiting') {
      return { ...base, v1, state: 'held', active: before.active, lastSuccess: before.lastSuccess }
    }
    // A key that failed stays failed until it works again, whatever comes over the way to it.
    const failed = choice.verdict === 'lost' || before.state === 'failed'
    const kept = before.state === 'failed' && choice.verdict !== 'lost' ? before.error : error
    return {
      ...base,
      v1: choice.verdict === 'lost' ? undefined : v1,
      state: failed ? 'failed' : 'starting',
      error: kept,
      active: undefined,
      lastSuccess: undefined,
    }
  }

  #settled(
    chosen: readonly ProviderMonitor[],
    writing: readonly ProviderMonitor[],
    base: Pick<HealthView, 'out' | 'othersSuffice' | 'error' | 'degradedSince'>,
  ): HealthView {
    const active = this.#activeKeys(chosen)
    const full = chosen.length === writing.length
    const lastSuccess = Math.min(...chosen.map(({ observation }) => observation.lastSuccess ?? 0))
    return {
      ...base,
      state: full ? 'ok' : 'degraded',
      active,
      v1: this.#forV1(active),
      lastSuccess,
      degradedSince: full ? undefined : (base.degradedSince ?? this.#deps.clock.monotonic()),
    }
  }

  /** v1beta1 needs a key service for every write, so there the others are used at once. */
  #readyFor(
    writing: readonly ProviderMonitor[],
    active: ActiveKeys | undefined,
  ): ActiveKeys | undefined {
    const asked = writing.every(
      ({ observation }) => observation.ok || observation.error !== undefined,
    )
    const ready = writing.filter(({ observation }) => observation.ok)
    const steady = ready.filter((monitor) => active?.monitors.includes(monitor) ?? true)
    const enough = [steady, ready].find(({ length }) => length >= this.minimum)
    return asked && enough !== undefined ? this.#forV1(this.#activeKeys(enough)) : undefined
  }

  /** v1beta1 has no annotations, and so no recipients. */
  #forV1(active: ActiveKeys): ActiveKeys {
    if (active.inputs.recipients.length === 0) return active
    const inputs = inputsOf(this.#options.protection, active.inputs.members)
    return { ...active, inputs, keyId: keyIdOf(inputs) }
  }

  #activeKeys(chosen: readonly ProviderMonitor[]): ActiveKeys {
    const members = chosen.flatMap(({ observation }) => observation.known?.member ?? [])
    return this.#keysOf(members, chosen)
  }

  #keysOf(members: readonly Member[], monitors: readonly ProviderMonitor[]): ActiveKeys {
    const { protection, recipients } = this.#options
    const inputs = inputsOf(protection, members, recipients)
    const keyId = keyIdOf(inputs)
    const current = this.#view.active
    if (current?.keyId === keyId) return current
    const byId = new Map(monitors.map((monitor) => [monitor.id, monitor]))
    const sorted = inputs.members.flatMap(({ providerId }) => byId.get(providerId) ?? [])
    return { keyId, inputs, monitors: sorted }
  }

  #replace(next: HealthView): void {
    const previous = this.#view
    this.#view = next
    const { clock } = this.#deps
    if (next.active === undefined) {
      if (previous.active !== undefined) this.#absentSince = clock.monotonic()
    }
    this.#tell(next, previous)
    this.#save(next)
  }

  #tell(next: HealthView, previous: HealthView): void {
    const { events, clock } = this.#deps
    const { name: endpoint, monitors } = this.#options
    const keyId = next.active?.keyId
    const before = previous.active?.keyId
    if (keyId !== undefined && keyId !== before) {
      events.emit({ type: 'key_id', endpoint, keyId, previous: before })
    }
    const part = { active: next.active?.monitors ?? [], out: next.out }
    const providers = monitors.map((monitor) =>
      providerHealth(monitor, part, this.#options.protection, clock),
    )
    const sinceMs = next.degradedSince
    events.emit({
      type: 'health',
      endpoint,
      state: next.state,
      previous: previous.state,
      keyId,
      error: next.state === 'ok' ? undefined : next.error,
      holdLeftMs: next.state === 'held' ? Math.max(this.#outageHoldMs - this.#age(), 0) : undefined,
      degradedSince:
        sinceMs === undefined ? undefined : clock.now() - (clock.monotonic() - sinceMs),
      why: saidOfWriters(next.active?.inputs, providers),
      providers,
    })
  }

  #decideAgainIn(ms: number | undefined): void {
    this.#cancelTimer()
    const waits = this.#options.monitors.flatMap(({ writesInMs }) => writesInMs || [])
    const soonest = Math.min(ms ?? Number.POSITIVE_INFINITY, ...waits)
    if (soonest === Number.POSITIVE_INFINITY) return
    // What is left of a millisecond after rounding would bring it back at the same moment again and again.
    this.#cancelTimer = this.#deps.clock.after(Math.ceil(soonest) + 1, () => this.#decide())
  }

  #resume(): void {
    const resumable = this.#resumable()
    if (resumable === undefined) return
    const { saved, standing } = resumable
    const { clock } = this.#deps
    const age = Math.max(clock.now() - saved.lastSuccess, 0)
    const writing = this.#options.monitors.filter(({ writes }) => writes).map(({ id }) => id)
    const out = new Set(saved.out.filter((id) => writing.includes(id)))
    this.#view = {
      ...this.#view,
      state: 'held',
      active: this.#keysOf(saved.members, standing),
      out,
      lastSuccess: clock.monotonic() - age,
      degradedSince: out.size > 0 ? clock.monotonic() - age : undefined,
    }
  }

  /** What an earlier process or config answered, where it can still be answered. */
  #resumable() {
    const { name, monitors, protection, recipients } = this.#options
    const saved = this.#deps.book.endpoint(name)
    if (saved?.keyId === undefined) return undefined
    const ids = new Set(saved.members.map(({ providerId }) => providerId))
    const standing = monitors.filter(({ id, writes }) => writes && ids.has(id))
    const known = keyIdOf(inputsOf(protection, saved.members, recipients)) === saved.keyId
    return known && standing.length === ids.size ? { saved, standing } : undefined
  }

  #save({ state, active, out }: HealthView): void {
    const { book, clock } = this.#deps
    const { name } = this.#options
    if (state === 'starting' || state === 'held') return
    book.putEndpoint({
      name,
      keyId: active?.keyId,
      members: active?.inputs.members ?? [],
      out: [...out],
      lastSuccess: clock.now(),
    })
  }
}
