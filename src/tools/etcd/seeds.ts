/**
 * Collects the different ciphertexts of plugins. They tell how often a restarting API server asks
 * for Decrypt, and what the envelopes of Trousseau say without being opened.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { hash } from 'node:crypto'
import { decodeEnvelope, startsAsEnvelope } from '../../kms/envelope.ts'
import type { Member, Scheme } from '../../kms/key_id.ts'
import type { V2Record } from './record.ts'

/** What an envelope's header says of how its plaintext is protected. */
export interface Protection extends Scheme {
  readonly keyId: string
  readonly members: readonly Member[]
}

interface Seed {
  /** Identifies type, ciphertext, key id and annotations, by 128 bits of SHA-256. */
  readonly digest: string
  /** Undefined where another plugin made it. */
  readonly protection: Protection | undefined
  readonly problem: string | undefined
}

const DIGEST_BYTES = 16

export class Seeds {
  readonly #seeds = new Map<string, Seed>()
  readonly #protections = new Map<string, Protection>()

  /** How many different ones there are. */
  get size(): number {
    return this.#seeds.size
  }

  of(record: V2Record): Seed {
    const digest = digestOf(record)
    const known = this.#seeds.get(digest)
    if (known !== undefined) return known
    const seed = { digest, ...this.read(record.source, record.keyId) }
    this.#seeds.set(digest, seed)
    return seed
  }

  /** @param keyId what is stored beside the ciphertext, which Decrypt compares (rule D3) */
  read(source: Uint8Array, keyId?: string): Pick<Seed, 'protection' | 'problem'> {
    if (!startsAsEnvelope(source)) return { protection: undefined, problem: undefined }
    const opened = opening(source)
    if (opened === undefined) return { protection: undefined, problem: 'its envelope is damaged' }
    const shared = this.#protections.get(opened.keyId) ?? opened
    this.#protections.set(opened.keyId, shared)
    const moved = keyId !== undefined && keyId !== opened.keyId
    return {
      protection: shared,
      problem: moved ? 'its key id is not that of its envelope' : undefined,
    }
  }
}

function opening(source: Uint8Array): Protection | undefined {
  try {
    const { keyId, scheme, k, members } = decodeEnvelope(source)
    return { keyId, scheme, k, members }
  } catch {
    return undefined
  }
}

/** Each part is preceded by its length, so that different records never give the same bytes. */
function digestOf({ sourceType, source, keyId, annotations }: V2Record): string {
  const stored = Object.entries(annotations).sort(([a], [b]) => (a < b ? -1 : 1))
  const parts = [sourceType, keyId, source, ...stored.flat()].map((part) => Buffer.from(part))
  const lengths = Buffer.from(Uint32Array.from(parts, ({ length }) => length).buffer)
  return hash('sha256', Buffer.concat([lengths, ...parts]), 'buffer').toString(
    'latin1',
    0,
    DIGEST_BYTES,
  )
}
