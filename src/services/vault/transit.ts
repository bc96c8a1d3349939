/**
 * The messages of the transit engine: what goes into a batch, what comes out of it, and what
 * reading a key returns.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import * as v from 'valibot'
import { KmsError } from '../../base/errors.ts'
import type { KeyVersion, Outcome } from '../../base/provider.ts'
import { transitError } from './errors.ts'

/** The key types that bind associated data. */
const AEAD_TYPES = new Set([
  'aes128-gcm96',
  'aes256-gcm96',
  'chacha20-poly1305',
  'xchacha20-poly1305',
])

const TEXT = v.optional(v.string())
const RESULT = { ciphertext: TEXT, plaintext: TEXT, error: TEXT, reference: TEXT }
const describedBatch = v.object({
  data: v.object({ batch_results: v.array(v.object(RESULT)) }),
})
type BatchAnswer = v.InferOutput<typeof describedBatch>
export type BatchResult = BatchAnswer['data']['batch_results'][number]

const goodBatch = v.custom<BatchAnswer>(() => true)
/**
 * A good answer is known by a look at its fields, since every Encrypt and every Decrypt has one;
 * the schema says of any other where it is wrong.
 */
export const batchAnswer = v.lazy(
  (answer): v.GenericSchema<unknown, BatchAnswer> =>
    isBatchAnswer(answer) ? goodBatch : describedBatch,
)

function isBatchAnswer(answer: unknown): answer is BatchAnswer {
  if (!(isObject(answer) && isObject(answer['data']))) return false
  const results = answer['data']['batch_results']
  return Array.isArray(results) && results.every(isResult)
}

function isResult(result: unknown): boolean {
  return (
    isObject(result) &&
    isText(result['ciphertext']) &&
    isText(result['plaintext']) &&
    isText(result['error']) &&
    isText(result['reference'])
  )
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

function isText(value: unknown): boolean {
  return value === undefined || typeof value === 'string'
}

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
/** The spelling of the service itself: with another spelling, one version would have two labels. */
const VERSION_LABEL = /^[1-9]\d{0,8}$/
export const keyAnswer = v.object({
  data: v.object({
    name: v.optional(v.string()),
    type: v.string(),
    derived: v.optional(v.boolean(), false),
    soft_deleted: v.optional(v.boolean(), false),
    supports_encryption: v.boolean(),
    supports_decryption: v.boolean(),
    // Asymmetric keys have objects here, and hmac keys have none; both are refused by their type.
    keys: v.optional(
      v.pipe(
        v.record(v.string(), v.unknown()),
        v.check((keys) => Object.keys(keys).every((label) => VERSION_LABEL.test(label))),
      ),
      {},
    ),
    min_decryption_version: count,
    min_encryption_version: count,
  }),
})
export type TransitKey = v.InferOutput<typeof keyAnswer>['data']

/** @param associatedData undefined where the service shall bind nothing */
export function encryptItem(
  version: number,
  plaintext: Uint8Array,
  associatedData: Uint8Array | undefined,
): object {
  const item = { plaintext: base64(plaintext), key_version: version }
  if (associatedData === undefined) return item
  return { ...item, associated_data: base64(associatedData) }
}

/** @param associatedData undefined for a wrap that the service bound to nothing */
export function decryptItem(
  version: number | string,
  bytes: Uint8Array,
  associatedData: Uint8Array | undefined,
): object {
  const ciphertext = `vault:v${version}:${base64(bytes)}`
  if (associatedData === undefined) return { ciphertext }
  return { ciphertext, associated_data: base64(associatedData) }
}

/** The ciphertext of a result, without the prefix before its bytes. */
export function wrapOf({ ciphertext, error }: BatchResult, version: number): Outcome<Uint8Array> {
  if (error !== undefined && error !== '') return refused(error)
  const prefix = `vault:v${version}:`
  if (ciphertext?.startsWith(prefix) !== true) {
    const message = `Key service did not encrypt under version ${version}, which it was asked for`
    return { ok: false, error: new KmsError(message, { code: 'protocol' }) }
  }
  return decoded(ciphertext.slice(prefix.length))
}

/** A failed item also has an empty plaintext, so the error decides. */
export function plaintextOf({ plaintext, error }: BatchResult): Outcome<Uint8Array> {
  if (error !== undefined && error !== '') return refused(error)
  return decoded(plaintext ?? '')
}

/**
 * @throws KmsError `key_unavailable` for a key that cannot be used here, `protocol` for another key
 * than was asked for
 */
export function checkKey(data: TransitKey, key: string): void {
  if (data.name !== undefined && data.name !== key) {
    throw new KmsError(`Key service answered for another key than "${key}"`, { code: 'protocol' })
  }
  const wrong = faultOf(data)
  if (wrong === undefined) return
  throw new KmsError(`Transit key "${key}" ${wrong}`, { code: 'key_unavailable' })
}

/**
 * @throws KmsError `protocol` for a version without a time: if it counted as old, it would encrypt
 * at once
 */
export function versionsOf(data: TransitKey): KeyVersion[] {
  const { keys, min_encryption_version, min_decryption_version } = data
  // 0 means that by default only the newest version encrypts; any usable version may still be
  // named.
  const lowest = Math.max(min_encryption_version, min_decryption_version)
  return Object.entries(keys)
    .map(([label, createdAt]) => ({ label: Number(label), createdAt }))
    .sort((a, b) => a.label - b.label)
    .map(({ label, createdAt }) => ({
      label: String(label),
      createdAt: timeOf(createdAt, label),
      mayEncrypt: label >= lowest,
      mayDecrypt: label >= min_decryption_version,
    }))
}

function timeOf(createdAt: unknown, label: number): number {
  if (v.is(count, createdAt)) return createdAt
  const message = `Key service does not tell when version ${label} of the key was made`
  throw new KmsError(message, { code: 'protocol' })
}

/** What makes a key unusable here; undefined for a good one. */
export function faultOf(data: TransitKey): string | undefined {
  if (data.soft_deleted) return 'is deleted: restore it'
  if (!AEAD_TYPES.has(data.type)) {
    return `has type ${data.type.slice(0, 40)}, which does not bind associated data: wanted aes256-gcm96`
  }
  if (data.derived) return 'is derived: wanted one made with derived=false'
  const complete = data.supports_encryption && data.supports_decryption
  return complete ? undefined : 'does not both encrypt and decrypt'
}

function refused(text: string): Outcome<Uint8Array> {
  const error =
    transitError((phrase) => text.includes(phrase)) ??
    new KmsError('Key service failed this item', { code: 'unavailable' })
  return { ok: false, error }
}

function decoded(text: string): Outcome<Uint8Array> {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length > 0 && bytes.toString('base64') === text) {
    return { ok: true, value: bytes }
  }
  const message = 'Key service answered something other than base64'
  return { ok: false, error: new KmsError(message, { code: 'protocol' }) }
}

/** Encodes the bytes in place, since a copy would be one more place with key material. */
function base64({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64')
}
