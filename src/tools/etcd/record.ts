/**
 * Recognises what a stored value is: in the clear, under a KMS plugin, or under something else.
 * Nothing is decrypted. A value that kube-apiserver would refuse before it asks anybody for a key
 * is `damaged`.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { fromBinary } from '@bufbuild/protobuf'
import { isAnnotationKey } from '../../base/annotation_key.ts'
import {
  MAX_ANNOTATION_BYTES,
  MAX_KEY_ID_BYTES,
  MAX_V2_CIPHERTEXT_BYTES,
} from '../../base/limits.ts'
import {
  type EncryptedObject,
  EncryptedObjectSchema,
  EncryptedDEKSourceType as Type,
} from './encrypted_object_pb.ts'

/** How an object was encrypted with what its plugin unwraps. */
type SourceType = 'key' | 'seed'

export interface V2Record {
  readonly form: 'kms-v2'
  readonly provider: string
  readonly keyId: string
  readonly sourceType: SourceType
  /** The plugin's ciphertext. */
  readonly source: Uint8Array
  readonly annotations: Readonly<Record<string, Uint8Array>>
  /** The object itself; not a copy. */
  readonly encryptedData: Uint8Array
}

export interface V1Record {
  readonly form: 'kms-v1'
  readonly provider: string
  /** The plugin's ciphertext. */
  readonly wrappedKey: Uint8Array
  /** The object itself; not a copy. */
  readonly encryptedData: Uint8Array
}

export type StoredRecord =
  | V2Record
  | V1Record
  /**
   * KMS v1 whose plugin had answered nothing (Trousseau 1.x with a static token); nobody can open
   * it.
   */
  | { readonly form: 'empty-key'; readonly provider: string }
  | { readonly form: 'plaintext'; readonly encoding: 'protobuf' | 'json' | 'cbor' }
  /** Encrypted with a key in the API server's own configuration. */
  | { readonly form: 'static-key'; readonly cipher: string; readonly keyName: string }
  /** Encrypted in a form that is not known here. */
  | { readonly form: 'unknown-encryption' }
  | {
      readonly form: 'damaged'
      readonly of: 'kms-v2' | 'kms-v1' | 'static-key'
      readonly provider: string
      /** What is wrong, without any part of the value. */
      readonly problem: string
    }
  /** Not an object of an API server. */
  | { readonly form: 'foreign' }

const ENCRYPTED = Buffer.from('k8s:enc:')
const KMS_V2 = Buffer.from('k8s:enc:kms:v2:')
const KMS_V1 = Buffer.from('k8s:enc:kms:v1:')
const STATIC_KEY = /^k8s:enc:(aescbc|aesgcm|secretbox):v1:/
const LONGEST_STATIC_PREFIX = 21
const PROTOBUF = Buffer.from('k8s\0')
const CBOR = Uint8Array.of(0xd9, 0xd9, 0xf7)
const JSON_START = Buffer.from('{')
const COLON = 0x3a
const SPACE = 0x20

/** The bytes that AES-GCM adds: nonce and tag. */
const GCM_BYTES = 28
const SEED_INFO_BYTES = 32
const MIN_STATIC_BYTES = 28

export function readRecord(value: Uint8Array): StoredRecord {
  if (startsWith(value, ENCRYPTED)) return encrypted(value)
  if (startsWith(value, PROTOBUF)) return { form: 'plaintext', encoding: 'protobuf' }
  if (startsWith(value, JSON_START)) return { form: 'plaintext', encoding: 'json' }
  if (startsWith(value, CBOR)) return { form: 'plaintext', encoding: 'cbor' }
  return { form: 'foreign' }
}

function encrypted(value: Uint8Array): StoredRecord {
  if (startsWith(value, KMS_V2)) return v2(value.subarray(KMS_V2.length))
  if (startsWith(value, KMS_V1)) return v1(value.subarray(KMS_V1.length))
  const start = utf8(value.subarray(0, LONGEST_STATIC_PREFIX))
  const [prefix, cipher] = STATIC_KEY.exec(start) ?? []
  if (prefix === undefined || cipher === undefined) return { form: 'unknown-encryption' }
  return staticKey(cipher, value.subarray(prefix.length))
}

function v2(named: Uint8Array): StoredRecord {
  const { name: provider, rest } = cut(named)
  const broken = (problem: string): StoredRecord => ({
    form: 'damaged',
    of: 'kms-v2',
    provider,
    problem,
  })
  if (rest === undefined) return broken('the name of the provider does not end')
  const object = parsed(rest)
  if (object === undefined) return broken('it is not an EncryptedObject message')
  const problem = problemOf(object)
  if (problem !== undefined) return broken(problem)
  return {
    form: 'kms-v2',
    provider,
    keyId: object.keyID,
    sourceType: object.encryptedDEKSourceType === Type.AES_GCM_KEY ? 'key' : 'seed',
    source: object.encryptedDEKSource,
    annotations: object.annotations,
    encryptedData: object.encryptedData,
  }
}

function parsed(bytes: Uint8Array): EncryptedObject | undefined {
  try {
    return fromBinary(EncryptedObjectSchema, bytes, { readUnknownFields: false })
  } catch {
    return undefined
  }
}

/** The checks that kube-apiserver makes before it asks the plugin (rules E2, E5, E6, S7). */
function problemOf(object: EncryptedObject): string | undefined {
  const { keyID, encryptedDEKSource, encryptedData, annotations } = object
  const keyIdBytes = Buffer.byteLength(keyID)
  if (keyIdBytes === 0) return 'it has no key id'
  if (keyIdBytes > MAX_KEY_ID_BYTES) return 'its key id is too long'
  if (encryptedDEKSource.length === 0) return 'its wrapped key is empty'
  if (encryptedDEKSource.length > MAX_V2_CIPHERTEXT_BYTES) return 'its wrapped key is too long'
  return typeProblem(object) ?? dataProblem(object, encryptedData) ?? annotationProblem(annotations)
}

function typeProblem({ encryptedDEKSourceType: type }: EncryptedObject): string | undefined {
  const known: readonly number[] = [Type.AES_GCM_KEY, Type.HKDF_SHA256_XNONCE_AES_GCM_SEED]
  return known.includes(type) ? undefined : 'it names a way of encryption that is not known'
}

function dataProblem(
  { encryptedDEKSourceType }: EncryptedObject,
  data: Uint8Array,
): string | undefined {
  const seed = encryptedDEKSourceType !== Type.AES_GCM_KEY
  const atLeast = GCM_BYTES + (seed ? SEED_INFO_BYTES : 0)
  if (data.length === 0) return 'it holds no data'
  return data.length < atLeast ? 'its data is shorter than nonce and tag' : undefined
}

function annotationProblem(annotations: EncryptedObject['annotations']): string | undefined {
  let bytes = 0
  for (const [key, value] of Object.entries(annotations)) {
    if (!isAnnotationKey(key)) return 'the name of an annotation is not a domain name'
    bytes += Buffer.byteLength(key) + value.length
  }
  return bytes > MAX_ANNOTATION_BYTES ? 'its annotations are too long' : undefined
}

/**
 * No wrapped key is as long as two printable characters, read as a number, say. So a name that has
 * colons itself ends where a number follows that is not text.
 */
const LONGEST_KEY = SPACE * 256

function v1(named: Uint8Array): StoredRecord {
  const bytes = Buffer.from(named.buffer, named.byteOffset, named.length)
  const end = bytes.findIndex((byte) => byte < SPACE)
  const text = bytes.subarray(0, end === -1 ? bytes.length : end)
  for (let at = text.indexOf(COLON, 1); at !== -1; at = text.indexOf(COLON, at + 1)) {
    if (at + 2 >= bytes.length) break
    const length = bytes.readUInt16BE(at + 1)
    if (length >= LONGEST_KEY) continue
    const rest = bytes.subarray(at + 3)
    const provider = utf8(bytes.subarray(0, at))
    return v1Parts(provider, rest.subarray(0, length), length, rest.subarray(length))
  }
  const { name: provider } = cut(named)
  const problem = 'the length of the wrapped key is missing, or is none'
  return { form: 'damaged', of: 'kms-v1', provider, problem }
}

function v1Parts(
  provider: string,
  wrappedKey: Uint8Array,
  length: number,
  encryptedData: Uint8Array,
): StoredRecord {
  if (wrappedKey.length < length || encryptedData.length < GCM_BYTES) {
    const problem = 'it is shorter than its wrapped key, nonce and tag'
    return { form: 'damaged', of: 'kms-v1', provider, problem }
  }
  if (length === 0) return { form: 'empty-key', provider }
  return { form: 'kms-v1', provider, wrappedKey, encryptedData }
}

function staticKey(cipher: string, named: Uint8Array): StoredRecord {
  const { name: keyName, rest } = cut(named)
  if (rest === undefined || rest.length < MIN_STATIC_BYTES) {
    return { form: 'damaged', of: 'static-key', provider: cipher, problem: 'it is too short' }
  }
  return { form: 'static-key', cipher, keyName }
}

/** What comes before the first colon, and what comes after it. */
function cut(named: Uint8Array): { name: string; rest: Uint8Array | undefined } {
  const colon = named.indexOf(COLON)
  if (colon <= 0) return { name: '', rest: undefined }
  return { name: utf8(named.subarray(0, colon)), rest: named.subarray(colon + 1) }
}

function startsWith(value: Uint8Array, prefix: Uint8Array): boolean {
  return value.length >= prefix.length && prefix.every((byte, index) => value[index] === byte)
}

function utf8(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')
}
