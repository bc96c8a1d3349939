/**
 * Encrypt and Decrypt with the configured providers (docs/architecture.md). Envelopes are made
 * under the active keys, and opened by the providers that hold their wraps.
 *
 * @module
 */

import type { Clock } from '../base/clock.ts'
import { KmsError, type KmsErrorCode, toKmsError } from '../base/errors.ts'
import type { EventSink, KmsApi } from '../base/events.ts'
import type { Gate } from '../base/gate.ts'
import { MAX_V1_CIPHERTEXT_BYTES, MAX_V2_CIPHERTEXT_BYTES } from '../base/limits.ts'
import type { Call } from '../base/provider.ts'
import type { DecryptRequest, EncryptReply, EncryptRequest, KmsService } from '../base/service.ts'
import { type ForeignItem, type ForeignReader, findForeign } from '../takeover/foreign.ts'
import { candidateOf, DecryptOrder, type DecryptPreference, type Opener } from './decrypt_order.ts'
import { decodeEnvelope, type OpenedEnvelope } from './envelope.ts'
import { admitEncrypt, admitted, encryptRefusal } from './guarding.ts'
import type { ActiveKeys, EndpointHealth } from './health.ts'
import { type HedgeDeps, hedge } from './hedge.ts'
import type { ProviderMonitor } from './provider_monitor.ts'
import { RECOVERY_ANNOTATION, type RecoverySealer } from './recovery.ts'
import { joinPlaintext } from './shares.ts'
import { Wrapping } from './wrapping.ts'

const MAX_CIPHERTEXT_BYTES = {
  v2: MAX_V2_CIPHERTEXT_BYTES,
  v1beta1: MAX_V1_CIPHERTEXT_BYTES,
} as const satisfies Record<KmsApi, number>

/** Faults of the request, not of a provider: asking the providers again would tell nothing. */
const OF_THE_REQUEST: ReadonlySet<KmsErrorCode> = new Set([
  'request_invalid',
  'ciphertext_invalid',
  'ciphertext_empty',
  'key_unknown',
  'cancelled',
])

export interface KeyringOptions {
  /** All providers that may open something. */
  readonly monitors: readonly ProviderMonitor[]
  readonly health: Pick<EndpointHealth, 'active' | 'minimum'>
  readonly decryptPreference: DecryptPreference
  readonly recovery: RecoverySealer | undefined
  /** Decides whether a key may be used; undefined where nobody does. */
  readonly gate?: Gate | undefined
  /** Providers that open what other plugins stored, in the order of the config. */
  readonly foreign: readonly MonitoredReader[]
  readonly clock: Clock
  readonly events: EventSink
  /** Cryptographic randomness. */
  readonly random: (bytes: number) => Uint8Array
}

interface MonitoredReader extends ForeignReader {
  readonly monitor: ProviderMonitor
}

export class Keyring implements KmsService {
  readonly #options: KeyringOptions
  /** By id and by former ids. */
  readonly #byId: ReadonlyMap<string, ProviderMonitor>
  readonly #decryptOrder: DecryptOrder
  readonly #wrapping: Wrapping
  readonly #hedging: HedgeDeps

  constructor(options: KeyringOptions) {
    this.#options = options
    this.#byId = new Map(
      options.monitors.flatMap((monitor) =>
        [monitor.id, ...(monitor.options.formerIds ?? [])].map((id) => [id, monitor] as const),
      ),
    )
    this.#decryptOrder = new DecryptOrder(options.decryptPreference)
    const { clock, events, random } = options
    const hedged: HedgeDeps['hedged'] = (provider, reason) =>
      events.emit({ type: 'hedge', provider, reason })
    this.#hedging = { clock, hedged }
    this.#wrapping = new Wrapping({ clock, random, failed: probeSoon })
  }

  status(): string {
    const { health, gate } = this.#options
    const active = health.active()
    const refusal = gate && encryptRefusal(gate, active)
    if (refusal !== undefined) throw refusal
    return active.keyId
  }

  async encrypt({ api, plaintext }: EncryptRequest, call: Call): Promise<EncryptReply> {
    // Read once, so that key id, header and wraps belong together (rule E3).
    const active = await this.#active(api)
    checkPlaintext(plaintext, active, MAX_CIPHERTEXT_BYTES[api])
    const { gate } = this.#options
    const waiting = gate && admitEncrypt(gate, api, active, plaintext.length, call)
    if (waiting !== undefined) await waiting
    const { ciphertext, annotations } =
      api === 'v2'
        ? await this.#encryptV2(active, plaintext, call)
        : await this.#encryptV1(active, plaintext, call)
    if (ciphertext.length > MAX_CIPHERTEXT_BYTES[api]) {
      throw tooLong(plaintext.length, ciphertext.length, MAX_CIPHERTEXT_BYTES[api])
    }
    return { ciphertext, keyId: active.keyId, annotations }
  }

  async decrypt(request: DecryptRequest, call: Call): Promise<Uint8Array> {
    const foreign = findForeign(request, this.#options.foreign)
    if (foreign !== undefined) return await this.#openForeign(foreign, request, call)
    checkAnnotations(request)
    const envelope = decodeEnvelope(request.ciphertext)
    if (request.keyId !== undefined && request.keyId !== envelope.keyId) {
      throw new KmsError(
        'Key id of the request is not the one that this ciphertext was made under',
        { code: 'key_unknown' },
      )
    }
    const openers = await this.#admitted(this.#openersOf(envelope), envelope.k, request, call)
    const answers = await this.#hedge(openers, envelope.k, call)
    if (envelope.scheme === 'any') return answers[0] ?? new Uint8Array()
    const { sealed, digest: associatedData } = envelope
    return await joinPlaintext({ sealed, shares: answers, associatedData })
  }

  /**
   * Right after a start the first probes are waited for: under v1beta1 API servers have writes
   * waiting for the socket, which arrive before the first probe has ended.
   */
  async #active(api: KmsApi): Promise<ActiveKeys> {
    const { health, monitors } = this.#options
    try {
      return health.active(api)
    } catch (error) {
      const first = monitors.filter(({ writes, probingFirst }) => writes && probingFirst)
      if (first.length === 0) throw error
      await Promise.all(first.map((monitor) => monitor.probe()))
    }
    return health.active(api)
  }

  async #encryptV2(active: ActiveKeys, plaintext: Uint8Array, call: Call) {
    const { recovery } = this.#options
    const prepared = await this.#wrapping.prepare(active, plaintext)
    const wrapped = this.#wrapping.wrapAll(prepared, call)
    if (recovery === undefined) return { ciphertext: await wrapped, annotations: {} }
    const sealed = recovery.seal(plaintext, prepared.header.digest)
    const [ciphertext, annotation] = await Promise.all([wrapped, sealed])
    return { ciphertext, annotations: { [RECOVERY_ANNOTATION]: annotation } }
  }

  async #encryptV1(active: ActiveKeys, plaintext: Uint8Array, call: Call) {
    const { minimum } = this.#options.health
    const ciphertext = await this.#wrapping.wrapWithSome(active, plaintext, minimum, call)
    return { ciphertext, annotations: {} }
  }

  async #openForeign(
    items: readonly ForeignItem<MonitoredReader>[],
    request: DecryptRequest,
    call: Call,
  ): Promise<Uint8Array> {
    const openers = items.map(({ reader: { monitor }, ...rest }) => ({ ...rest, monitor }))
    const open = await this.#admitted(openers, 1, request, call)
    const candidates = open.map(({ monitor, item, plaintextOf }) => {
      const candidate = candidateOf({ monitor, item }, probeSoon)
      const run = async (own: Call) => plaintextOf(await candidate.run(own))
      return { ...candidate, run }
    })
    const [plaintext] = await hedge(candidates, 1, this.#hedging, call)
    return plaintext ?? new Uint8Array()
  }

  /** No promise without a gate. */
  #admitted<T extends Opener>(
    openers: readonly T[],
    need: number,
    { api, ciphertext: { length: size } }: DecryptRequest,
    call: Call,
  ): readonly T[] | Promise<readonly T[]> {
    const { gate } = this.#options
    return gate === undefined ? openers : admitted(gate, openers, { api, size, need }, call)
  }

  #hedge(openers: readonly Opener[], need: number, call: Call) {
    const candidates = this.#decryptOrder
      .sort(openers)
      .map((opener) => candidateOf(opener, probeSoon))
    return hedge(candidates, need, this.#hedging, call)
  }

  #openersOf({ k, members, wraps, digest }: OpenedEnvelope): Opener[] {
    const openers = wraps.flatMap(({ member, data }): Opener[] => {
      const { providerId = '', version = '' } = members[member] ?? {}
      const monitor = this.#byId.get(providerId)
      const item = { version, bytes: data, associatedData: digest }
      return monitor === undefined ? [] : [{ monitor, item }]
    })
    if (openers.length >= k) return openers
    const missing =
      openers.length === 0
        ? 'No configured provider has an id'
        : `Only ${openers.length} configured providers, of ${k} that are needed, have an id`
    throw new KmsError(`${missing} that this ciphertext was made with`, { code: 'key_unknown' })
  }
}

/** After a failure that may be the provider's fault, its monitor probes it soon. */
function probeSoon(monitor: ProviderMonitor, error: unknown): void {
  if (!OF_THE_REQUEST.has(toKmsError(error).code)) monitor.nudge()
}

function checkAnnotations({ annotations }: DecryptRequest): void {
  const known = Object.keys(annotations).every((name) => name === RECOVERY_ANNOTATION)
  if (known) return
  throw new KmsError('Request has an annotation that Trousseau never makes', {
    code: 'request_invalid',
  })
}

function checkPlaintext(
  plaintext: Uint8Array,
  { inputs, monitors }: ActiveKeys,
  maxBytes: number,
): void {
  // Under `threshold` the providers wrap shares, which are as long for every plaintext.
  const wrapped = inputs.scheme === 'any' ? monitors : []
  const shortest = Math.min(
    maxBytes,
    ...wrapped.map(({ batched }) => batched.provider.limits.plaintextBytes),
  )
  if (plaintext.length > shortest) throw tooLong(plaintext.length, undefined, shortest)
}

function tooLong(bytes: number, made: number | undefined, limit: number): KmsError {
  const what = made === undefined ? `${bytes} bytes` : `${bytes} bytes, ${made} once encrypted,`
  return new KmsError(`Plaintext of ${what} is longer than the limit of ${limit} bytes`, {
    code: 'request_invalid',
  })
}
