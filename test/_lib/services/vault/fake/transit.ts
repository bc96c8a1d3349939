/** The transit engine: real AES-256-GCM, versions, and the words of the real one. @module */

import { Buffer } from 'node:buffer'
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { failure, ignoredFields, type JsonObject, type Reply, success, wrapped } from './reply.ts'
import { goType, isObject } from './request.ts'
import type { KeyVersion, TransitKey } from './state.ts'

/** A key as one node sees it, which may be an older state. */
export interface KeyView {
  readonly key: TransitKey
  readonly versions: readonly KeyVersion[]
}

type Action = 'encrypt' | 'decrypt'
type Result =
  | { readonly done: JsonObject }
  | { readonly error: string; readonly fault: 'user' | 'internal' }

const NONCE_BYTES = 12
const TAG_BYTES = 16
const INPUT = { encrypt: 'plaintext', decrypt: 'ciphertext' } as const
const NUMBERS = ['key_version']
const STRINGS = ['plaintext', 'ciphertext', 'associated_data', 'context', 'nonce', 'reference']
const FIELDS = [...NUMBERS, ...STRINGS, 'batch_input', 'partial_failure_response_code']

export function readKey({ key, versions }: KeyView): Reply {
  const keys = versions
    .map(({ createdAt }, at) => [at + 1, createdAt] as const)
    .filter(([version]) => version >= key.minDecryptionVersion)
  return success({
    data: {
      allow_plaintext_backup: false,
      auto_rotate_period: 0,
      deletion_allowed: false,
      derived: false,
      exportable: false,
      imported_key: false,
      keys: Object.fromEntries(keys),
      latest_version: versions.length,
      min_available_version: 0,
      min_decryption_version: key.minDecryptionVersion,
      min_encryption_version: key.minEncryptionVersion,
      name: key.name,
      soft_deleted: false,
      supports_decryption: true,
      supports_derivation: true,
      supports_encryption: true,
      supports_signing: false,
      type: 'aes256-gcm96',
    },
  })
}

/** @param view undefined where the key does not exist */
export function transform(action: Action, view: KeyView | undefined, body: JsonObject): Reply {
  const batch = body['batch_input']
  if (batch !== undefined) return batchReply(action, view, body)
  const input = INPUT[action]
  const fault = typeFault(body)
  if (fault !== undefined) return failure(400, `Field validation failed: ${fault}`)
  if (body[input] === undefined) return failure(400, `missing ${input} to ${action}`)
  if (view === undefined) return failure(400, 'encryption key not found')
  const result = one(action, view, body)
  if ('done' in result)
    return success({ data: result.done }, { warnings: ignoredFields(body, FIELDS) })
  return result.fault === 'user' ? failure(400, result.error) : wrapped(500, result.error)
}

function batchReply(action: Action, view: KeyView | undefined, body: JsonObject): Reply {
  const batch = body['batch_input']
  const fault = batchFault(action, batch)
  if (fault !== undefined) return wrapped(500, `failed to parse batch input: ${fault}`)
  const items = (batch as readonly unknown[]).filter(isObject)
  if (items.length === 0) return failure(400, 'missing batch input to process')
  if (view === undefined) return failure(400, 'encryption key not found')
  const results = items.map((item) => ({ item, result: one(action, view, item) }))
  const batch_results = results.map(({ item, result }) => ({
    ...('done' in result ? result.done : failed(action, result.error)),
    reference: item['reference'] ?? '',
  }))
  const status = batchStatus(
    results.map(({ result }) => result),
    body['partial_failure_response_code'],
  )
  return success({ data: { batch_results } }, { status, warnings: ignoredFields(body, FIELDS) })
}

/** A user's errors win over internal ones. */
function batchStatus(results: readonly Result[], partial: unknown): number {
  const faults = results.flatMap((result) => ('fault' in result ? [result.fault] : []))
  if (faults.length === 0) return 200
  if (typeof partial === 'number' && faults.length < results.length) return partial
  return faults.includes('user') ? 400 : 500
}

/** A failed decryption carries an empty plaintext besides. */
function failed(action: Action, error: string): JsonObject {
  return action === 'decrypt' ? { plaintext: '', error } : { error }
}

function one(action: Action, view: KeyView, item: JsonObject): Result {
  return action === 'encrypt' ? encrypt(view, item) : decrypt(view, item)
}

function encrypt({ key, versions }: KeyView, item: JsonObject): Result {
  const plaintext = decode(item['plaintext'])
  if (!plaintext.ok) return user(plaintext.error)
  const wanted = Number(item['key_version'] ?? 0)
  const fault = versionFault(wanted, key, versions.length)
  if (fault !== undefined) return user(fault)
  const associated = decode(item['associated_data'])
  if (!associated.ok) return internal(associated.error)
  const version = wanted === 0 ? versions.length : wanted
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', materialOf(versions, version), nonce)
  cipher.setAAD(associated.bytes)
  const parts = [nonce, cipher.update(plaintext.bytes), cipher.final(), cipher.getAuthTag()]
  const ciphertext = `vault:v${version}:${Buffer.concat(parts).toString('base64')}`
  return { done: { ciphertext, key_version: version } }
}

function versionFault(
  wanted: number,
  { minEncryptionVersion }: TransitKey,
  latest: number,
): string | undefined {
  const text = 'requested version for encryption is'
  if (wanted < 0) return `${text} negative`
  if (wanted > latest) return `${text} higher than the latest key version`
  const tooOld = wanted !== 0 && wanted < minEncryptionVersion
  return tooOld ? `${text} less than the minimum encryption key version` : undefined
}

function decrypt({ key, versions }: KeyView, item: JsonObject): Result {
  const text = item['ciphertext']
  if (text === '') return user('missing ciphertext to decrypt')
  const match = /^vault:v([^:]*)(?::(.*))?$/s.exec(String(text))
  if (match === null) return user('invalid ciphertext: no prefix')
  const [, label = '', base64] = match
  if (base64 === undefined) return user('invalid ciphertext: wrong number of fields')
  if (!/^-?\d+$/.test(label)) {
    return user('invalid ciphertext: version number could not be decoded')
  }
  const version = Number(label) === 0 ? 1 : Number(label)
  if (version > versions.length) return user('invalid ciphertext: version is too new')
  if (version < key.minDecryptionVersion) {
    return user('ciphertext or signature version is disallowed by policy (too old)')
  }
  const sealedBytes = decode(base64)
  if (!sealedBytes.ok) return user('invalid ciphertext: could not decode base64')
  const associated = decode(item['associated_data'])
  if (!associated.ok) return internal(associated.error)
  return open(materialOf(versions, version), sealedBytes.bytes, associated.bytes)
}

function open(material: Uint8Array, bytes: Buffer, associated: Buffer): Result {
  if (bytes.length < NONCE_BYTES) return user('invalid ciphertext length')
  const refused = user('cipher: message authentication failed')
  if (bytes.length < NONCE_BYTES + TAG_BYTES) return refused
  const decipher = createDecipheriv('aes-256-gcm', material, bytes.subarray(0, NONCE_BYTES))
  decipher.setAAD(associated)
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
  const plain = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES))
  try {
    decipher.final()
  } catch {
    return refused
  }
  return { done: { plaintext: plain.toString('base64') } }
}

function materialOf(versions: readonly KeyVersion[], version: number): Uint8Array {
  const found = versions[version - 1]
  if (found === undefined) throw new Error(`No version ${version}`)
  return found.material
}

function user(error: string): Result {
  return { error, fault: 'user' }
}

/** The only thing inside an item that the real engine takes for its own failure. */
function internal(error: string): Result {
  const from = 'unable to get associated_data/additional_data from factory[0]'
  return { error: `${from}: ${error}`, fault: 'internal' }
}

type Decoded = { readonly ok: true; readonly bytes: Buffer } | { ok: false; error: string }

/** Standard base64 with padding; anything else is refused with the place. */
function decode(value: unknown): Decoded {
  const text = value === undefined ? '' : String(value)
  const wrong = /[^A-Za-z0-9+/=]/.exec(text)?.index
  const bytes = Buffer.from(text, 'base64')
  if (wrong === undefined && bytes.toString('base64') === text) return { ok: true, bytes }
  return { ok: false, error: `illegal base64 data at input byte ${wrong ?? text.length}` }
}

function batchFault(action: Action, batch: unknown): string | undefined {
  if (!Array.isArray(batch)) {
    return `source data must be an array or slice, got ${goType(batch)}`
  }
  const input = INPUT[action]
  for (const [at, item] of batch.entries()) {
    if (!isObject(item)) return `[${at}]: expected a map, got '${goType(item)}'`
    const fault = typeFault(item)
    if (fault !== undefined) return `'[${at}].${fault}`
    if (item[input] === undefined) return `'[${at}].${input}' missing ${input} to ${action}`
  }
  return undefined
}

function typeFault(item: JsonObject): string | undefined {
  const wrong = (names: readonly string[], type: string, expected: string) =>
    names
      .filter((name) => item[name] !== undefined && typeof item[name] !== type)
      .map(
        (name) =>
          `${name}' expected type '${expected}', got unconvertible type '${goType(item[name])}'`,
      )
  return [...wrong(STRINGS, 'string', 'string'), ...wrong(NUMBERS, 'number', 'int')][0]
}
