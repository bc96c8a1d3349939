/**
 * Signs ServiceAccount tokens with the version of the key whose turn it is, and hands no signature
 * on before it was checked with the public key that API servers have. What is signed is never
 * looked into.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { unlessAborted } from '../base/call.ts'
import type { Clock } from '../base/clock.ts'
import { Coalescer } from '../base/coalescer.ts'
import { KmsError, toKmsError } from '../base/errors.ts'
import type { EventSink } from '../base/events.ts'
import type { Call, Outcome } from '../base/provider.ts'
import { type BatchRecord, type KeyUseRecord, recorded } from '../base/request_record.ts'
import type { PublishedKey, SigningKeySource, TokenSigner } from '../base/signing_key.ts'
import { KeyWatch, type Version, type WatchDeps, type WatchOptions } from './key_watch.ts'
import { type VerificationKey, verifies } from './verification_key.ts'

interface SignerOptions extends WatchOptions {
  readonly refreshMs: number
  /** Keys that are published beside those of the source. */
  readonly beside: readonly BesideKey[]
}

export interface BesideKey extends VerificationKey {
  readonly inDiscovery: boolean
}

interface Queue {
  readonly kid: string
  readonly items: Coalescer<Uint8Array, Uint8Array>
}

/** The name that events of the signer have in the place of a provider's. */
export const SIGNER = 'signer'

export class Signer implements Pick<TokenSigner, 'sign' | 'fetchKeys'> {
  readonly watch: KeyWatch
  readonly #source: SigningKeySource
  readonly #options: SignerOptions
  readonly #clock: Clock
  readonly #events: EventSink
  #queue: Queue | undefined

  constructor(source: SigningKeySource, options: SignerOptions, deps: WatchDeps) {
    this.#source = source
    this.#options = options
    this.#clock = deps.clock
    this.#events = deps.events
    this.watch = new KeyWatch(source, options, deps)
  }

  async fetchKeys({ signal }: Call) {
    await unlessAborted(this.watch.firstKey, signal)
    const { refreshMs, beside } = this.#options
    const own = this.watch.keySet().published.map((key) => ({ ...key, inDiscovery: true }))
    const names = new Set(own.map(({ kid }) => kid))
    const keys: PublishedKey[] = [...own, ...beside.filter(({ kid }) => !names.has(kid))]
    return { keys, readAt: this.watch.readAt, refreshSeconds: refreshMs / 1_000 }
  }

  async sign(claims: string, call: Call) {
    // Until then the service's time is unknown, and so is whose turn it is.
    await unlessAborted(this.watch.firstLook, call.signal)
    const version = this.watch.signing()
    const input = Buffer.from(`${version.header}.${claims}`)
    try {
      const value = await this.#signed(version, input, call)
      const { kid, header } = version
      return { kid, header, signature: Buffer.from(value).toString('base64url') }
    } catch (error) {
      this.watch.nudge()
      throw error
    }
  }

  #signed(version: Version, input: Uint8Array, call: Call): Promise<Uint8Array> {
    const work = (use?: KeyUseRecord) => this.#queueOf(version).items.submit(input, call, use)
    if (call.record === undefined) return work()
    const about = { provider: SIGNER, operation: 'sign', keyVersion: version.label } as const
    return recorded(call.record, about, this.#clock, work)
  }

  async close(limitMs?: number): Promise<void> {
    this.watch.stop()
    await this.#source.close(limitMs)
  }

  #queueOf(version: Version): Queue {
    // What is under way under the version before ends by itself.
    if (this.#queue?.kid !== version.kid) {
      const items = new Coalescer<Uint8Array, Uint8Array>({
        clock: this.#clock,
        maxItems: this.#source.batchItems,
        run: (inputs, call, batch) => this.#batch(version, inputs, call, batch),
      })
      this.#queue = { kid: version.kid, items }
    }
    return this.#queue
  }

  async #batch(
    version: Version,
    inputs: readonly Uint8Array[],
    call: Call,
    batch: BatchRecord | undefined,
  ): Promise<readonly Outcome<Uint8Array>[]> {
    const start = this.#clock.monotonic()
    const tell = (code: KmsError['code'] | 'ok') =>
      this.#events.emit({
        type: 'provider_call',
        provider: SIGNER,
        operation: 'sign',
        items: inputs.length,
        code,
        durationMs: this.#clock.monotonic() - start,
        batch,
      })
    try {
      const { label, algorithm } = version
      const signed = await this.#source.sign({ version: label, algorithm, inputs }, call)
      const outcomes = await Promise.all(
        inputs.map((input, index) => checked(version, input, signed[index])),
      )
      const failed = outcomes.find((outcome) => !outcome.ok)
      tell(failed === undefined || failed.ok ? 'ok' : failed.error.code)
      return outcomes
    } catch (error) {
      const known = toKmsError(error)
      tell(known.code)
      throw known
    }
  }
}

/** The signature, where the published key says that it is one of this input. */
async function checked(
  version: Version,
  input: Uint8Array,
  signed: Outcome<Uint8Array> | undefined,
): Promise<Outcome<Uint8Array>> {
  if (signed?.ok === false) return signed
  if (signed?.ok && (await verifies(version, input, signed.value))) return signed
  const message = `The signature under version ${version.label} does not verify with the public key ${version.kid} that API servers have`
  return { ok: false, error: new KmsError(message, { code: 'protocol' }) }
}
