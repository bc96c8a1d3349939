/**
 * Keys and wraps as Key Vault represents them: which versions exist, which of them can be used, and
 * what bytes a wrap consists of.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { timingSafeEqual } from 'node:crypto'
import * as v from 'valibot'
import { KmsError } from '../../base/errors.ts'
import type { KeyVersion, Plain, WrapLimits, Wrapped } from '../../base/provider.ts'
import { checkOpened, wrong } from '../wrap_check.ts'
import type { AzureAlgorithm } from './config.ts'

/** The length of the header's digest, which goes inside the plaintext where a key binds nothing. */
const DIGEST_BYTES = 32
const IV_BYTES = 12
const TAG_BYTES = 16
/** RSA-OAEP-256 adds two SHA-256 digests and two bytes. */
const OAEP_BYTES = 66
/** Longer than anything that a cluster wraps; the limit of a managed HSM is not documented. */
const MAX_AES_BYTES = 4_096
const MIN_RSA_BITS = 2_048
const MAX_RSA_BITS = 4_096
const VERSION = /^[0-9a-f]{32}$/
/** The algorithms of Azure/kubernetes-kms under its two protocols. */
const FOREIGN = /^(RSA-OAEP-256|RSA1_5)\/([0-9a-f]{32})$/

const seconds = v.nullish(v.pipe(v.number(), v.minValue(0)))
const attributes = v.object({
  enabled: v.optional(v.boolean(), true),
  nbf: seconds,
  exp: seconds,
  created: seconds,
})
export const versionsAnswer = v.object({
  value: v.array(v.object({ kid: v.string(), attributes })),
  nextLink: v.nullish(v.string()),
})
type ListedVersion = v.InferOutput<typeof versionsAnswer>['value'][number]

export const keyAnswer = v.object({
  key: v.object({
    kid: v.string(),
    kty: v.string(),
    key_ops: v.nullish(v.array(v.string())),
    n: v.nullish(v.string()),
  }),
})
export const deletedAnswer = v.object({ key: v.object({ kty: v.string() }) })
export const operationAnswer = v.object({
  kid: v.string(),
  value: v.string(),
  iv: v.nullish(v.string()),
  tag: v.nullish(v.string()),
  aad: v.nullish(v.string()),
})
export type OperationAnswer = v.InferOutput<typeof operationAnswer>

/**
 * Why a version does not encrypt now, by the service's clock; undefined for a version that does.
 */
type UnusableReason = 'disabled' | 'expired' | 'not valid yet'

export interface ListedKey extends Omit<KeyVersion, 'mayEncrypt'> {
  readonly refusal: UnusableReason | undefined
}

/** @param keySize in bits; where absent, the limits are those that hold for every size */
export function limitsOf(algorithm: AzureAlgorithm, keySize: number | undefined): WrapLimits {
  if (algorithm === 'A256GCM') {
    return {
      plaintextBytes: MAX_AES_BYTES,
      overheadBytes: IV_BYTES + TAG_BYTES,
      batchItems: 1,
    }
  }
  return {
    plaintextBytes: (keySize ?? MIN_RSA_BITS) / 8 - OAEP_BYTES - DIGEST_BYTES,
    overheadBytes: (keySize ?? MAX_RSA_BITS) / 8,
    batchItems: 1,
  }
}

/** @param now seconds since the epoch by the service's clock */
export function listedKey({ kid, attributes: of }: ListedVersion, key: string, now: number) {
  const refusal = of.enabled ? outsideOf(of.nbf, of.exp, now) : 'disabled'
  return {
    label: versionIn(kid, key),
    createdAt: of.created ?? 0,
    // A version decrypts even outside its dates, and when it shall no longer encrypt.
    mayDecrypt: of.enabled,
    refusal,
  } satisfies ListedKey
}

/** Oldest first; versions of the same time are in an order that is the same on every node. */
export function byAge(a: ListedKey, b: ListedKey): number {
  return a.createdAt - b.createdAt || (a.label < b.label ? -1 : 1)
}

/** What makes a version of the key unusable; undefined for a good one. */
export function faultOf(
  { key: { kty, key_ops, n } }: v.InferOutput<typeof keyAnswer>,
  algorithm: AzureAlgorithm,
  keySize: number | undefined,
): string | undefined {
  const lacks = ['encrypt', 'decrypt'].filter((one) => key_ops?.includes(one) === false)
  if (lacks.length > 0) return `does not allow ${lacks.join(' and ')}: add it to its operations`
  const types = algorithm === 'A256GCM' ? ['oct-HSM', 'oct'] : ['RSA', 'RSA-HSM']
  if (!types.includes(kty)) {
    return `has type ${kty.slice(0, 20)}, but ${algorithm} needs ${types[0]}`
  }
  if (algorithm === 'A256GCM') return undefined
  const bits = Buffer.from(n ?? '', 'base64url').length * 8
  if (bits < MIN_RSA_BITS || bits > MAX_RSA_BITS) return `has ${bits} bits: wanted 2048 to 4096`
  const fits = keySize === undefined || bits === keySize
  return fits ? undefined : `has ${bits} bits, but keySize says ${keySize}`
}

/**
 * The version at the end of a key's id, `https://{host}/keys/{name}/{version}`.
 *
 * @throws KmsError `protocol` for the id of another key
 */
export function versionIn(kid: string, key: string): string {
  const [, name, version] = /^https:\/\/[^/?#]+\/keys\/([\w-]+)\/([\w-]+)$/.exec(kid) ?? []
  if (name?.toLowerCase() === key.toLowerCase() && version !== undefined) return version
  throw new KmsError('Key service answered for another key than it was asked for', {
    code: 'protocol',
  })
}

/**
 * @throws KmsError `key_unavailable` for text that is no version, since it becomes part of a path
 */
export function checkVersion(version: string): string {
  if (VERSION.test(version)) return version
  throw new KmsError('Key has no version of this name: wanted 32 hexadecimal digits', {
    code: 'key_unavailable',
  })
}

export function encryptBody(algorithm: AzureAlgorithm, { plaintext, associatedData }: Plain) {
  if (algorithm === 'A256GCM') {
    return { alg: algorithm, value: text(plaintext), aad: text(associatedData) }
  }
  return { alg: algorithm, value: text(Buffer.concat([associatedData, plaintext])) }
}

/**
 * With A256GCM, the iv, the tag and the ciphertext in this order; with RSA the ciphertext alone.
 *
 * @throws KmsError `protocol` for an answer that cannot be the wrap of `plain`
 */
export function wrapOf(
  algorithm: AzureAlgorithm,
  answer: OperationAnswer,
  plain: Plain,
): Uint8Array {
  if (algorithm === 'A256GCM') return gcmWrapOf(answer, plain)
  const sealed = bytes(answer.value)
  if (sealed.length >= plain.plaintext.length + DIGEST_BYTES + OAEP_BYTES) return sealed
  throw wrong('a ciphertext that is shorter than any of an RSA key')
}

function gcmWrapOf(
  { value, iv, tag, aad }: OperationAnswer,
  { plaintext, associatedData }: Plain,
): Uint8Array {
  const parts = [bytes(iv ?? ''), bytes(tag ?? ''), bytes(value)] as const
  if (parts[0].length !== IV_BYTES || parts[1].length !== TAG_BYTES) {
    throw wrong('an iv or tag of another length than A256GCM has')
  }
  if (parts[2].length !== plaintext.length) throw wrong('a ciphertext of another length')
  // The service need not repeat the associated data; where it does, they say which request this
  // answers.
  const repeated = aad ?? ''
  if (repeated !== '' && !bytes(repeated).equals(associatedData)) {
    throw wrong('other associated data than it was asked to bind')
  }
  return Buffer.concat(parts)
}

interface Unwrapping {
  readonly version: string
  readonly body: object
}

/**
 * The body of a decrypt request. A wrap that another plugin made binds nothing; its label is
 * `RSA1_5/` or `RSA-OAEP-256/` and the version.
 */
export function decryptBody(algorithm: AzureAlgorithm, wrapped: Wrapped): Unwrapping {
  const { version, bytes: wrap, associatedData } = wrapped
  if (associatedData === undefined) {
    const [, alg = 'RSA-OAEP-256', label = ''] = FOREIGN.exec(version) ?? []
    return { version: checkVersion(label), body: { alg, value: text(wrap) } }
  }
  if (algorithm !== 'A256GCM') {
    if (associatedData.length !== DIGEST_BYTES) throw foreign()
    return { version: checkVersion(version), body: { alg: algorithm, value: text(wrap) } }
  }
  if (wrap.length <= IV_BYTES + TAG_BYTES) throw foreign()
  const body = {
    alg: algorithm,
    iv: text(wrap.subarray(0, IV_BYTES)),
    tag: text(wrap.subarray(IV_BYTES, IV_BYTES + TAG_BYTES)),
    value: text(wrap.subarray(IV_BYTES + TAG_BYTES)),
    aad: text(associatedData),
  }
  return { version: checkVersion(version), body }
}

/**
 * @throws KmsError `ciphertext_invalid` where the digest inside is that of another envelope,
 * `protocol` for bytes that cannot be inside
 */
export function plaintextOf(
  algorithm: AzureAlgorithm,
  { value }: OperationAnswer,
  { bytes: wrap, associatedData }: Wrapped,
): Uint8Array {
  const all = checkOpened(bytes(value), wrap)
  if (associatedData === undefined || algorithm === 'A256GCM') return all
  const digest = all.subarray(0, DIGEST_BYTES)
  if (digest.length !== DIGEST_BYTES || !timingSafeEqual(digest, associatedData)) throw foreign()
  return checkOpened(all.subarray(DIGEST_BYTES), wrap)
}

function outsideOf(
  nbf: number | null | undefined,
  exp: number | null | undefined,
  now: number,
): UnusableReason | undefined {
  if (exp !== null && exp !== undefined && now >= exp) return 'expired'
  return now < (nbf ?? 0) ? 'not valid yet' : undefined
}

function foreign(): KmsError {
  return new KmsError('Wrap is damaged, or of another envelope', { code: 'ciphertext_invalid' })
}

/** Base64url without padding. It encodes the bytes in place, without a copy. */
function text({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64url')
}

function bytes(value: string): Buffer {
  const decoded = Buffer.from(value, 'base64url')
  if (decoded.length > 0 && decoded.toString('base64url') === value.replace(/={1,2}$/, '')) {
    return decoded
  }
  throw new KmsError('Key service answered something other than base64url', { code: 'protocol' })
}
