/**
 * `threshold` (docs/envelope.md, "Threshold"): the plaintext is sealed under a random
 * key, and that key is split into Shamir shares, one a provider. A wrong or mixed set
 * of shares makes a wrong key, which the seal refuses: never garbage.
 *
 * @module
 */

import { createCipheriv, createDecipheriv } from 'node:crypto'
import { combine, split } from 'shamir-secret-sharing'
import { KmsError } from '../base/errors.ts'
import type { Scheme } from './key_id.ts'

const ALGORITHM = 'aes-256-gcm'
const KEY_BYTES = 32
const TAG_BYTES = 16
/** Each key seals once, so its nonce may be any. */
const NONCE = new Uint8Array(12)

/** The last byte of a share says which one it is. */
export const SHARE_BYTES = KEY_BYTES + 1

interface Split {
  /** As long as the plaintext and 16 bytes. */
  readonly sealed: Uint8Array
  /** As many as asked for. */
  readonly shares: readonly Uint8Array[]
}

interface SplitOptions extends Pick<Scheme, 'k'> {
  /** How many shares, at least `k`. */
  readonly count: number
  /** Digest of the envelope's header. */
  readonly associatedData: Uint8Array
  /** Cryptographic randomness. */
  readonly random: (bytes: number) => Uint8Array
}

export async function splitPlaintext(
  plaintext: Uint8Array,
  { k, count, associatedData, random }: SplitOptions,
): Promise<Split> {
  // The library takes plain arrays only, not those of a subclass.
  const key = Uint8Array.from(random(KEY_BYTES))
  const cipher = createCipheriv(ALGORITHM, key, NONCE, { authTagLength: TAG_BYTES })
  cipher.setAAD(associatedData)
  const sealed = joined([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
  const shares = await split(key, count, k)
  key.fill(0)
  return { sealed, shares }
}

interface JoinOptions {
  readonly sealed: Uint8Array
  /** Exactly as many as are needed. */
  readonly shares: readonly Uint8Array[]
  readonly associatedData: Uint8Array
}

/** @throws KmsError `ciphertext_invalid` where the shares are not of this envelope */
export async function joinPlaintext({
  sealed,
  shares,
  associatedData,
}: JoinOptions): Promise<Uint8Array> {
  if (shares.some(({ length }) => length !== SHARE_BYTES) || sealed.length <= TAG_BYTES) {
    throw refused()
  }
  try {
    const copies = shares.map((share) => Uint8Array.from(share))
    const key = await combine(copies)
    const decipher = createDecipheriv(ALGORITHM, key, NONCE, { authTagLength: TAG_BYTES })
    for (const secret of [key, ...copies]) secret.fill(0)
    decipher.setAAD(associatedData).setAuthTag(sealed.subarray(-TAG_BYTES))
    // GCM holds nothing back for the end, and a copy would be one more place with a seed.
    const { buffer, byteOffset, length } = decipher.update(sealed.subarray(0, -TAG_BYTES))
    decipher.final()
    return new Uint8Array(buffer, byteOffset, length)
  } catch (cause) {
    throw refused(cause)
  }
}

function refused(cause?: unknown): KmsError {
  return new KmsError('Shares of the providers do not fit together: the ciphertext is damaged', {
    code: 'ciphertext_invalid',
    cause,
  })
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** How long what stands beside the wraps is. */
export function sealedBytes({ scheme }: Scheme, plaintextBytes: number): number {
  return scheme === 'any' ? 0 : plaintextBytes + TAG_BYTES
}

/** How long what each provider wraps is. */
export function wrappedBytes({ scheme }: Scheme, plaintextBytes: number): number {
  return scheme === 'any' ? plaintextBytes : SHARE_BYTES
}
