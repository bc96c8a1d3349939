/**
 * Encrypt and Decrypt over the configured providers: envelopes made under the
 * active keys and opened by whichever provider holds a wrap (design §4, §5).
 *
 * @module
 */

import { decodeEnvelope, encodeEnvelope, type OpenedEnvelope, sealHeader } from './envelope.ts'
import { KmsError, type KmsErrorCode, toKmsError } from './errors.ts'
import type { KmsApi } from './events.ts'
import type { ActiveKeys, Health } from './health.ts'
import { MAX_V1_CIPHERTEXT_BYTES, MAX_V2_CIPHERTEXT_BYTES } from './limits.ts'
import type { Call, Wrapped } from './provider.ts'
import type { RingMember } from './ring_member.ts'
import type { DecryptRequest, EncryptReply, EncryptRequest, KmsService } from './service.ts'
import { Slab } from './slab.ts'

const RANDOM_BYTES = 4_096

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
  readonly ring: readonly RingMember[]
  readonly health: Pick<Health, 'active' | 'nudge'>
  /** Cryptographic randomness. */
  readonly random: (bytes: number) => Uint8Array
}

export class Keyring implements KmsService {
  readonly #byId: ReadonlyMap<string, RingMember>
  readonly #health: KeyringOptions['health']
  /** Asking the system for every envelope id would cost more than making the envelope. */
  readonly #ids: Slab

  constructor({ ring, health, random }: KeyringOptions) {
    this.#byId = new Map(ring.map((member) => [member.provider.id, member]))
    this.#health = health
    this.#ids = new Slab(RANDOM_BYTES, random)
  }

  status(): string {
    return this.#health.active().keyId
  }

  async encrypt({ api, plaintext }: EncryptRequest, call: Call): Promise<EncryptReply> {
    // Taken once, so that key id, header and wraps are of one moment (rule E3).
    const active = this.#health.active()
    checkPlaintext(plaintext, active, MAX_CIPHERTEXT_BYTES[api])
    const header = sealHeader(active.inputs, (bytes) => this.#ids.take(bytes))
    const item = { plaintext, associatedData: header.digest }
    const wraps = await this.#watched(
      Promise.all(
        active.ring.map(async (ring, member) => {
          const version = active.inputs.members[member]?.version ?? ''
          return { member, data: await ring.wrap(version, item, call) }
        }),
      ),
    )
    const ciphertext = encodeEnvelope(header, wraps)
    if (ciphertext.length > MAX_CIPHERTEXT_BYTES[api]) {
      throw tooLong(plaintext.length, ciphertext.length, MAX_CIPHERTEXT_BYTES[api])
    }
    return { ciphertext, keyId: active.keyId, annotations: {} }
  }

  async decrypt(request: DecryptRequest, call: Call): Promise<Uint8Array> {
    const [annotation] = Object.keys(request.annotations)
    if (annotation !== undefined) {
      throw new KmsError('Request has an annotation that Trousseau never makes', {
        code: 'request_invalid',
      })
    }
    const envelope = decodeEnvelope(request.ciphertext)
    if (request.keyId !== undefined && request.keyId !== envelope.keyId) {
      throw new KmsError(
        'Key id of the request is not the one that this ciphertext was made under',
        {
          code: 'key_unknown',
        },
      )
    }
    return await this.#watched(openAny(this.#candidates(envelope), call))
  }

  #candidates({ members, wraps, digest }: OpenedEnvelope): [RingMember, Wrapped][] {
    const candidates = wraps.flatMap(({ member, data }): [RingMember, Wrapped][] => {
      const { providerId = '', version = '' } = members[member] ?? {}
      const ring = this.#byId.get(providerId)
      return ring === undefined ? [] : [[ring, { version, bytes: data, associatedData: digest }]]
    })
    if (candidates.length > 0) return candidates
    throw new KmsError('No configured provider has an id that this ciphertext was made with', {
      code: 'key_unknown',
    })
  }

  /** A failure that a provider may be to blame for makes the health loop look at once. */
  async #watched<T>(work: Promise<T>): Promise<T> {
    try {
      return await work
    } catch (error) {
      if (!OF_THE_REQUEST.has(toKmsError(error).code)) this.#health.nudge()
      throw error
    }
  }
}

/** Asks one provider after another until one opens the envelope. */
async function openAny(
  candidates: readonly [RingMember, Wrapped][],
  call: Call,
): Promise<Uint8Array> {
  let failure: unknown
  for (const [ring, item] of candidates) {
    try {
      return await ring.unwrap(item, call)
    } catch (error) {
      failure = error
    }
  }
  throw failure
}

function checkPlaintext(plaintext: Uint8Array, active: ActiveKeys, maxBytes: number): void {
  const shortest = Math.min(
    maxBytes,
    ...active.ring.map(({ provider }) => provider.limits.plaintextBytes),
  )
  if (plaintext.length > shortest) throw tooLong(plaintext.length, undefined, shortest)
}

function tooLong(bytes: number, made: number | undefined, limit: number): KmsError {
  const what = made === undefined ? `${bytes} bytes` : `${bytes} bytes, ${made} once encrypted,`
  return new KmsError(`Plaintext of ${what} is longer than the limit of ${limit} bytes`, {
    code: 'request_invalid',
  })
}
