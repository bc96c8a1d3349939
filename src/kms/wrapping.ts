/**
 * Makes envelopes: a header, and under it a wrap by each provider of the active set,
 * side by side (docs/envelope.md).
 *
 * @module
 */

import { withinPart } from '../base/call.ts'
import type { Clock } from '../base/clock.ts'
import { KmsError } from '../base/errors.ts'
import type { Call, Plain } from '../base/provider.ts'
import { Slab } from '../base/slab.ts'
import {
  type EnvelopeWrap,
  encodeEnvelope,
  inputsOf,
  type SealedHeader,
  sealHeader,
} from './envelope.ts'
import type { ActiveKeys } from './health.ts'
import { keyIdOf } from './key_id.ts'
import type { ProviderMonitor } from './provider_monitor.ts'
import { splitPlaintext } from './shares.ts'

const RANDOM_BYTES = 4_096
/** Of the time that is left, for wrapping with all; what then is left, for those that answered. */
const FIRST_TRY = 0.5

interface WrappingOptions {
  readonly clock: Clock
  /** Cryptographic randomness. */
  readonly random: (bytes: number) => Uint8Array
  /** Called for every failure, so that the provider is probed soon. */
  readonly failed: (monitor: ProviderMonitor, error: unknown) => void
}

/** What the providers are to wrap. */
interface Prepared {
  readonly active: ActiveKeys
  readonly header: SealedHeader
  /** Under `threshold` the encrypted plaintext. */
  readonly sealed: Uint8Array | undefined
  /** One for each member. */
  readonly items: readonly Plain[]
}

type WrapResult = { readonly data: Uint8Array } | { readonly error: unknown }

export class Wrapping {
  readonly #options: WrappingOptions
  /** Asking the system for every envelope id would cost more than making the envelope. */
  readonly #ids: Slab

  constructor(options: WrappingOptions) {
    this.#options = options
    this.#ids = new Slab(RANDOM_BYTES, options.random)
  }

  async prepare(active: ActiveKeys, plaintext: Uint8Array): Promise<Prepared> {
    const { scheme, k, members } = active.inputs
    const header = sealHeader(active.inputs, (bytes) => this.#ids.take(bytes))
    const associatedData = header.digest
    if (scheme === 'any') {
      const items = members.map(() => ({ plaintext, associatedData }))
      return { active, header, sealed: undefined, items }
    }
    const { random } = this.#options
    const count = members.length
    const { sealed, shares } = await splitPlaintext(plaintext, { k, count, associatedData, random })
    const items = shares.map((share) => ({ plaintext: share, associatedData }))
    return { active, header, sealed, items }
  }

  /**
   * An envelope with the wraps of all.
   *
   * @throws KmsError where one of them fails
   */
  async wrapAll(prepared: Prepared, call: Call): Promise<Uint8Array> {
    const { active, header, sealed } = prepared
    const wraps =
      active.monitors.length === 1
        ? [{ member: 0, data: await this.#wrap(prepared, 0, call) }]
        : await this.#wrapEvery(prepared, call)
    return encodeEnvelope(header, wraps, sealed)
  }

  /** Where one fails the others need not go on. */
  async #wrapEvery(prepared: Prepared, call: Call): Promise<EnvelopeWrap[]> {
    const controller = new AbortController()
    const signal = AbortSignal.any([call.signal, controller.signal])
    const part = { ...call, signal }
    try {
      return await Promise.all(
        prepared.active.monitors.map(async (_, member) => ({
          member,
          data: await this.#wrap(prepared, member, part),
        })),
      )
    } catch (error) {
      controller.abort(new KmsError('Another provider failed', { code: 'cancelled' }))
      throw error
    }
  }

  /**
   * An envelope with the wraps of all that answer in time: for v1beta1, where a plaintext
   * that is not wrapped now is a write that fails. Who answered is asked anew, without the
   * others, for as long as any of them fails.
   *
   * @throws KmsError where fewer than `minimum` answer
   */
  async wrapWithSome(
    active: ActiveKeys,
    plaintext: Uint8Array,
    minimum: number,
    call: Call,
  ): Promise<Uint8Array> {
    let left = active
    for (let part = FIRST_TRY; ; part = 1) {
      const prepared = await this.prepare(left, plaintext)
      if (left.monitors.length <= minimum) return await this.wrapAll(prepared, call)
      const results = await this.#wrapEach(prepared, part, call)
      const done = left.monitors.filter((_, member) => 'data' in (results[member] ?? {}))
      if (done.length < minimum) throw results.find((result) => 'error' in result)?.error
      if (done.length === left.monitors.length) return envelopeOf(prepared, results)
      left = onlyOf(left, done)
    }
  }

  async #wrapEach(prepared: Prepared, part: number, call: Call): Promise<WrapResult[]> {
    return await Promise.all(
      prepared.active.monitors.map(async (_, member) => {
        try {
          const data = await withinPart(this.#options.clock, call, part, (own) =>
            this.#wrap(prepared, member, own),
          )
          return { data }
        } catch (error) {
          return { error }
        }
      }),
    )
  }

  async #wrap({ active, items }: Prepared, member: number, call: Call): Promise<Uint8Array> {
    const { monitors, inputs } = active
    const [monitor, item, key] = [monitors[member], items[member], inputs.members[member]]
    if (monitor === undefined || item === undefined || key === undefined) {
      throw new Error('An active set without one of its members')
    }
    try {
      return await monitor.batched.wrap(key.version, item, call)
    } catch (error) {
      this.#options.failed(monitor, error)
      throw error
    }
  }
}

function envelopeOf({ header, sealed }: Prepared, results: readonly WrapResult[]): Uint8Array {
  const wraps = results.flatMap((result, member) =>
    'data' in result ? { member, data: result.data } : [],
  )
  return encodeEnvelope(header, wraps, sealed)
}

function onlyOf({ inputs }: ActiveKeys, monitors: readonly ProviderMonitor[]): ActiveKeys {
  const ids = new Set(monitors.map(({ id }) => id))
  const members = inputs.members.filter(({ providerId }) => ids.has(providerId))
  const fewer = inputsOf(inputs, members, inputs.recipients)
  return { keyId: keyIdOf(fewer), inputs: fewer, monitors }
}
