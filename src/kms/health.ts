/**
 * The health of one endpoint: follows the monitors of its providers, and keeps the view
 * that Status and Encrypt are answered from. That costs no remote call, however often
 * they come; both switch in one assignment (rule R2).
 *
 * @module
 */

import type { Clock } from '../base/clock.ts'
import type { EventSink, KmsApi } from '../base/events.ts'
import { healthEvent } from './health_report.ts'
import {
  type HealthView,
  type KeyIdRules,
  type KeySet,
  keysOf,
  nextView,
  resumedView,
  startingView,
  writerSetOf,
  writersOf,
} from './health_view.ts'
import { type HoldLimits, holdLeftMs, holds, problemOf, refusalOf } from './hold.ts'
import type { ProviderMonitor } from './provider_monitor.ts'
import type { SavedEndpoint, StateBook } from './state.ts'
import { type Choice, chooseWriters, type WriterSet } from './writers.ts'

export interface EndpointHealthOptions extends KeyIdRules, HoldLimits {
  /** The endpoint's name. */
  readonly name: string
  /** All providers of the endpoint, those that are only read too. */
  readonly monitors: readonly ProviderMonitor[]
}

interface EndpointHealthDeps {
  readonly clock: Clock
  readonly events: EventSink
  readonly book: StateBook
}

/** What the next Encrypt uses. */
export interface ActiveKeys extends KeySet {
  /** In the order of `inputs.members`. */
  readonly monitors: readonly ProviderMonitor[]
}

export class EndpointHealth {
  readonly #options: EndpointHealthOptions
  readonly #deps: EndpointHealthDeps
  readonly #stopListening: (() => void)[] = []
  /** By the keys that they are the members of. */
  readonly #activeKeys = new WeakMap<KeySet, ActiveKeys>()
  #outageHoldMs: number
  #view: HealthView
  #cancelTimer: () => void = () => undefined
  #stopped = false

  constructor(options: EndpointHealthOptions, deps: EndpointHealthDeps) {
    this.#options = options
    this.#deps = deps
    this.#outageHoldMs = options.outageHoldMs
    this.#view = startingView(deps.clock.monotonic())
  }

  /** Resumes from the state that an earlier process or config left, and follows the monitors. */
  start(): void {
    this.#resume()
    for (const monitor of this.#options.monitors) {
      this.#stopListening.push(monitor.onProbe(() => this.#decide()))
    }
    const known = this.#options.monitors.some(({ observation }) => observation.known !== undefined)
    if (known) this.#decide()
  }

  /** True where a start now would have something to answer. */
  canServe(): boolean {
    const saved = this.#resumable()
    const { verdict } = this.#choose({
      active: saved && new Set(saved.members.map(({ providerId }) => providerId)),
      out: new Set(saved?.out),
    })
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
    const view = this.#view
    if (view.state !== 'ok') this.#nudgeUnwell()
    if (api === 'v1beta1' && view.v1 !== undefined) return this.#withMonitors(view.v1)
    if (view.active !== undefined && this.#holds(view)) return this.#withMonitors(view.active)
    throw refusalOf(view)
  }

  /** With fewer providers nothing may be written. */
  get minimum(): number {
    return this.#options.protection.minimum
  }

  /** For `/readyz`: what is wrong now, also while Status still answers the last key id. */
  problem(): string | undefined {
    return problemOf(this.#view, this.#limits(), this.#deps.clock.monotonic())
  }

  #holds(view: HealthView): boolean {
    const { protection } = this.#options
    return holds(view, this.#limits(), protection, this.#deps.clock.monotonic())
  }

  #limits(): HoldLimits {
    return { staleAfterMs: this.#options.staleAfterMs, outageHoldMs: this.#outageHoldMs }
  }

  #nudgeUnwell(): void {
    for (const monitor of this.#options.monitors) if (!monitor.observation.ok) monitor.nudge()
  }

  #withMonitors(keys: KeySet): ActiveKeys {
    const known = this.#activeKeys.get(keys)
    if (known !== undefined) return known
    const byId = new Map(this.#options.monitors.map((monitor) => [monitor.id, monitor]))
    const monitors = keys.inputs.members.flatMap(({ providerId }) => byId.get(providerId) ?? [])
    const active = { ...keys, monitors }
    this.#activeKeys.set(keys, active)
    return active
  }

  /** Decides again from the latest observations of the providers. */
  #decide(): void {
    if (this.#stopped) return
    const before = this.#view
    const choice = this.#choose(writerSetOf(before))
    const now = this.#deps.clock.monotonic()
    this.#view = nextView(before, choice, this.#writing(), this.#options, now)
    this.#tell(this.#view, before)
    this.#save(this.#view)
    this.#decideAgainIn(choice.againInMs)
  }

  #choose(before: WriterSet): Choice {
    const now = this.#deps.clock.monotonic()
    return chooseWriters(
      writersOf(this.#writing(), this.#view, now),
      before,
      now - this.#view.absentSince,
      this.#options.protection,
    )
  }

  #writing(): readonly ProviderMonitor[] {
    return this.#options.monitors.filter(({ writes }) => writes)
  }

  #tell(next: HealthView, previous: HealthView): void {
    const { events, clock } = this.#deps
    const { name: endpoint } = this.#options
    const keyId = next.active?.keyId
    const before = previous.active?.keyId
    if (keyId !== undefined && keyId !== before) {
      events.emit({ type: 'key_id', endpoint, keyId, previous: before })
    }
    const leftMs = holdLeftMs(next, this.#limits(), clock.monotonic())
    events.emit(healthEvent(this.#options, next, previous.state, leftMs, clock))
  }

  #decideAgainIn(ms: number | undefined): void {
    this.#cancelTimer()
    const waits = this.#options.monitors.flatMap(({ writesInMs }) => writesInMs || [])
    const soonest = Math.min(ms ?? Number.POSITIVE_INFINITY, ...waits)
    if (soonest === Number.POSITIVE_INFINITY) return
    // Without rounding up, the timer would fire again and again within one millisecond.
    this.#cancelTimer = this.#deps.clock.after(Math.ceil(soonest) + 1, () => this.#decide())
  }

  #resume(): void {
    const saved = this.#resumable()
    if (saved === undefined) return
    const { clock } = this.#deps
    const age = Math.max(clock.now() - saved.lastSuccess, 0)
    const writing = this.#writing().map(({ id }) => id)
    const out = new Set(saved.out.filter((id) => writing.includes(id)))
    const active = keysOf(saved.members, this.#options)
    this.#view = resumedView(this.#view, active, out, clock.monotonic() - age)
  }

  /** What an earlier process or config answered, where it can still be answered. */
  #resumable(): SavedEndpoint | undefined {
    const saved = this.#deps.book.endpoint(this.#options.name)
    if (saved?.keyId === undefined) return undefined
    const writing = new Set(this.#writing().map(({ id }) => id))
    const standing = saved.members.every(({ providerId }) => writing.has(providerId))
    return standing && keysOf(saved.members, this.#options).keyId === saved.keyId
      ? saved
      : undefined
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
