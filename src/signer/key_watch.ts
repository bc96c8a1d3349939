/**
 * Asks the source of the signing key again and again, and keeps what is known of its versions, also
 * over a restart. All that API servers ask for but signatures is answered from here.
 *
 * @module
 */

import { withinLimit } from '../base/call.ts'
import type { Clock } from '../base/clock.ts'
import { KmsError, toKmsError } from '../base/errors.ts'
import type { EventSink } from '../base/events.ts'
import { type Notify, notifierOf } from '../base/notices.ts'
import type { Call } from '../base/provider.ts'
import { ServiceClock } from '../base/service_clock.ts'
import type { PublicVersion, SigningKeySource } from '../base/signing_key.ts'
import { type KeySetRules, type KnownVersion, keySetAt } from './key_set.ts'
import { compared } from './known_versions.ts'
import type { SignerStore } from './state.ts'
import { type VerificationKey, verificationKey } from './verification_key.ts'

export interface WatchOptions extends KeySetRules {
  readonly maxTokenLifeMs: number
  readonly distrusted: ReadonlySet<string>
  /** How often the source is asked. */
  readonly intervalMs: number
  readonly requestTimeoutMs: number
}

export interface WatchDeps {
  readonly clock: Clock
  readonly events: EventSink
  readonly store: SignerStore
}

export type Version = KnownVersion & VerificationKey

const FIRST_RETRY_MS = 500
const MAX_RETRY_MS = 3_500
/** However many signatures fail, looks at the source keep this distance. */
const NUDGE_GAP_MS = 500

export class KeyWatch {
  readonly #source: SigningKeySource
  readonly #options: WatchOptions
  readonly #deps: WatchDeps
  readonly #notify: Notify<Readonly<Record<never, never>>>
  readonly #serviceClock = new ServiceClock()
  readonly #firstLook = Promise.withResolvers<void>()
  readonly #firstKey = Promise.withResolvers<void>()
  #known: readonly Version[] = []
  #readAt = 0
  /** By how much the service's clock is ahead of this node's monotonic one. */
  #aheadMs: number | undefined
  /** Why the last look failed. */
  #failure: KmsError | undefined
  /** The source has another key than the one that tokens are checked with. */
  #alarm: KmsError | undefined
  #failures = 0
  #looking: Promise<void> | undefined
  #lastEnd = Number.NEGATIVE_INFINITY
  #nextAt = Number.POSITIVE_INFINITY
  #cancel: () => void = () => undefined
  #saveFailed = false
  #stopped = false
  #told = ''

  constructor(source: SigningKeySource, options: WatchOptions, deps: WatchDeps) {
    this.#source = source
    this.#options = options
    this.#deps = deps
    this.#notify = notifierOf(deps.events, {})
  }

  /** Takes up what was saved. What cannot be used is told, and the source asked instead. */
  async load(): Promise<void> {
    try {
      const saved = await this.#deps.store.load()
      if (saved === undefined) return
      this.#known = saved.versions
        .map(({ spki, ...version }) => ({
          ...version,
          ...verificationKey(spki, `Saved version ${version.label} of the signing key`),
        }))
        .filter(({ kid }) => !this.#options.distrusted.has(kid))
      this.#readAt = saved.readAt
      if (this.#known.length > 0) this.#firstKey.resolve()
    } catch (error) {
      const message = `The saved public keys of the signer cannot be used, and the key service is asked instead: ${toKmsError(error).message}`
      this.#notify('error', 'signer_state_refused', message, error)
    }
  }

  /** Takes over what another watch of the same process knows. */
  takeOver({ versions, readAt }: Pick<KeyWatch, 'versions' | 'readAt'>): void {
    this.#known = versions.filter(({ kid }) => !this.#options.distrusted.has(kid))
    this.#readAt = readAt
    if (this.#known.length > 0) this.#firstKey.resolve()
  }

  get versions(): readonly Version[] {
    return this.#known
  }

  get readAt(): number {
    return this.#readAt
  }

  /** Settles when the source was asked for the first time, whatever it answered. */
  get firstLook(): Promise<void> {
    return this.#firstLook.promise
  }

  /** Settles when a key is known. */
  get firstKey(): Promise<void> {
    return this.#firstKey.promise
  }

  /** Why nothing can be signed now, or why that is unknown. */
  get problem(): KmsError | undefined {
    return this.#refusalOf(this.keySet().signing) ?? this.#failure
  }

  keySet() {
    return keySetAt(this.#known, this.#now(), this.#options)
  }

  /**
   * The version that signs now.
   *
   * @throws KmsError where there is none, or where the source has another key
   */
  signing(): Version {
    const { signing } = this.keySet()
    const refusal = this.#refusalOf(signing)
    if (signing === undefined || refusal !== undefined) throw refusal ?? noVersion()
    return signing
  }

  #refusalOf(signing: Version | undefined): KmsError | undefined {
    if (this.#alarm !== undefined) return this.#alarm
    if (signing === undefined) return this.#failure ?? noVersion()
    return signing.present === false ? isGone(signing) : undefined
  }

  /** Looks now and again and again. Calling it once more changes nothing. */
  start(): void {
    if (this.#looking === undefined && this.#nextAt === Number.POSITIVE_INFINITY) void this.look()
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  /** Looks soon, because something failed. */
  nudge(): void {
    if (this.#looking !== undefined) return
    this.#scheduleAtMost(Math.max(this.#lastEnd + NUDGE_GAP_MS - this.#deps.clock.monotonic(), 0))
  }

  /** Asks the source at once; callers that come meanwhile share it. */
  look(): Promise<void> {
    this.#looking ??= this.#round().finally(() => {
      this.#looking = undefined
      this.#lastEnd = this.#deps.clock.monotonic()
      this.#firstLook.resolve()
    })
    return this.#looking
  }

  async #round(): Promise<void> {
    this.#cancel()
    this.#nextAt = Number.POSITIVE_INFINITY
    const { clock } = this.#deps
    try {
      await withinLimit(clock, this.#options.requestTimeoutMs, (call) => this.#ask(call))
      this.#failure = undefined
      this.#failures = 0
      await this.#save()
    } catch (error) {
      this.#failure = toKmsError(error)
      this.#failures += 1
    }
    if (this.#stopped) return
    this.#tell()
    this.#scheduleAtMost(this.#delay())
  }

  async #ask(call: Call): Promise<void> {
    const { clock } = this.#deps
    const sentAt = clock.monotonic()
    const { versions, serviceTime } = await this.#source.publicKeys(call)
    const receivedAt = clock.monotonic()
    const now =
      serviceTime === undefined
        ? clock.now()
        : this.#serviceClock.timeAt(serviceTime, sentAt, receivedAt)
    this.#aheadMs = serviceTime === undefined ? undefined : now - receivedAt
    this.#take(versions, now)
  }

  #take(versions: readonly PublicVersion[], now: number): void {
    const told = versions.map(({ publicKey, ...version }) => ({
      ...version,
      ...verificationKey(publicKey, `Version ${version.label} of the signing key`),
    }))
    const { known, gone, replaced } = compared(this.#known, told, { ...this.#options, now })
    this.#raise(replaced)
    if (replaced.length > 0) return
    for (const { label, kid } of gone) this.#sayGone(label, kid)
    this.#known = known
    this.#readAt = this.#deps.clock.now()
    if (known.length > 0) this.#firstKey.resolve()
  }

  /** Nothing that the source says is believed until the operator has decided. */
  #raise(replaced: readonly Version[]): void {
    const [first] = replaced
    if (first === undefined) {
      this.#alarm = undefined
      return
    }
    const message = `Version ${first.label} of the signing key is another key than before, which is published as ${first.kid}: it was deleted and made again, or restored. Nothing is signed until it is back, or its name stands in signer.distrusted`
    if (this.#alarm === undefined) this.#notify('error', 'signing_key_replaced', message)
    this.#alarm = new KmsError(message, { code: 'key_unavailable' })
  }

  #sayGone(label: string, kid: string): void {
    if (this.#known.some((each) => each.kid === kid && each.present === false)) return
    const message = `Version ${label} of the signing key is gone where it was kept, while tokens that it signed may be in use: it stays published as ${kid}`
    this.#notify('error', 'signing_key_gone', message)
  }

  async #save(): Promise<void> {
    try {
      await this.#deps.store.save({ readAt: this.#readAt, versions: this.#known })
      this.#saveFailed = false
    } catch (error) {
      if (this.#saveFailed) return
      this.#saveFailed = true
      const message = `Cannot save the public keys of the signer, and an API server cannot start with this plugin during an outage: ${toKmsError(error).message}`
      this.#notify('warn', 'signer_state_not_saved', message, error)
    }
  }

  /** The service's time; this node's while the service has not told its own. */
  #now(): number {
    const { clock } = this.#deps
    return this.#aheadMs === undefined ? clock.now() : clock.monotonic() + this.#aheadMs
  }

  /** Emits how things stand, and whether that is news. */
  #tell(): void {
    const { signing, pending, switchInMs, published } = this.keySet()
    const { problem } = this
    const event = {
      type: 'signer',
      ok: problem === undefined,
      error: problem,
      kid: signing?.kid,
      version: signing?.label,
      algorithm: signing?.algorithm,
      pendingVersion: pending?.label,
      switchAt:
        switchInMs === undefined
          ? undefined
          : Math.round((this.#deps.clock.now() + switchInMs) / 1_000) * 1_000,
      published: published.length,
      readAt: this.#readAt,
    } as const
    // Times differ a little at each look.
    const { readAt: _readAt, switchAt: _switchAt, error: _error, ...said } = event
    const text = JSON.stringify([said, problem?.message])
    const changed = text !== this.#told
    this.#told = text
    this.#deps.events.emit({ ...event, changed })
  }

  #delay(): number {
    if (this.#failures > 0) {
      return Math.min(FIRST_RETRY_MS * 2 ** (this.#failures - 1), MAX_RETRY_MS)
    }
    return Math.min(this.#options.intervalMs, this.keySet().switchInMs ?? Number.POSITIVE_INFINITY)
  }

  #scheduleAtMost(ms: number): void {
    const at = this.#deps.clock.monotonic() + ms
    if (this.#stopped || at >= this.#nextAt) return
    this.#cancel()
    this.#nextAt = at
    this.#cancel = this.#deps.clock.after(ms, () => void this.look())
  }
}

function noVersion(): KmsError {
  const message = 'The signing key has no version that may sign'
  return new KmsError(message, { code: 'key_unavailable' })
}

function isGone({ label, kid }: Version): KmsError {
  const message = `Version ${label} of the signing key, which signs now, is gone where it was kept: restore it, or name ${kid} in signer.distrusted`
  return new KmsError(message, { code: 'key_unavailable' })
}
