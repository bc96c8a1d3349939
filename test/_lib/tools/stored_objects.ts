/**
 * Objects as an API server stores them, made by code of the tests' own: WebCrypto
 * where the product uses node:crypto, and protobuf written by hand.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { createCipheriv, randomBytes } from 'node:crypto'

type Bytes = Uint8Array<ArrayBuffer>

const text = new TextEncoder()

export function bytesOf(part: Uint8Array | string): Bytes {
  return Uint8Array.from(typeof part === 'string' ? text.encode(part) : part)
}

export function concat(...parts: readonly (Uint8Array | string)[]): Bytes {
  return Uint8Array.from(Buffer.concat(parts.map(bytesOf)))
}

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value % 0x80) + 0x80, ...varint(Math.floor(value / 0x80))]
}

/** A length-delimited field. */
export function field(number: number, content: Uint8Array | string): Bytes {
  const bytes = bytesOf(content)
  return concat(Uint8Array.from([...varint(number * 8 + 2), ...varint(bytes.length)]), bytes)
}

export function number(field_: number, value: number): Bytes {
  return Uint8Array.from([...varint(field_ * 8), ...varint(value)])
}

export function entry(number_: number, key: string, value: Uint8Array | string): Bytes {
  return field(number_, concat(field(1, key), field(2, value)))
}

export function unknown(apiVersion: string, kind: string, raw: Uint8Array): Bytes {
  const typeMeta = concat(field(1, apiVersion), field(2, kind))
  return concat('k8s\0', field(1, typeMeta), field(2, raw), field(3, ''), field(4, ''))
}

interface NamedObject {
  readonly name: string
  readonly namespace?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
}

/** With what only the cluster knows around it, as a real one has. */
export function objectMeta({ name, namespace, labels, annotations }: NamedObject): Bytes {
  return concat(
    field(1, name),
    field(2, ''),
    ...(namespace === undefined ? [] : [field(3, namespace)]),
    field(4, ''),
    field(5, '1f4a8f7b-01b4-49d1-b898-751eb56937f1'),
    number(7, 3),
    field(8, number(1, 1_700_000_000)),
    ...Object.entries(labels ?? {}).map(([key, value]) => entry(11, key, value)),
    ...Object.entries(annotations ?? {}).map(([key, value]) => entry(12, key, value)),
    field(13, concat(field(1, 'Deployment'), field(3, 'owner'), field(4, 'owner-uid'))),
    field(14, 'example.org/finalizer'),
    field(17, concat(field(1, 'kubectl'), field(2, 'Update'))),
  )
}

export function secretBytes(
  meta: NamedObject,
  data: readonly (readonly [key: string, value: Uint8Array | string])[],
  { type = 'Opaque', immutable }: { type?: string; immutable?: boolean } = {},
): Bytes {
  const raw = concat(
    field(1, objectMeta(meta)),
    ...data.map(([key, value]) => entry(2, key, value)),
    field(3, type),
    ...(immutable === undefined ? [] : [number(5, immutable ? 1 : 0)]),
  )
  return unknown('v1', 'Secret', raw)
}

async function gcm(key: Bytes, plaintext: Bytes, aad: Bytes): Promise<Bytes> {
  const iv = Uint8Array.from(randomBytes(12))
  const imported = await crypto.subtle.importKey('raw', key, 'AES-GCM', false, ['encrypt'])
  const algorithm = { name: 'AES-GCM', iv, additionalData: aad }
  return concat(iv, new Uint8Array(await crypto.subtle.encrypt(algorithm, imported, plaintext)))
}

/** What stands for the object in etcd, given what the plugin answered to Encrypt of `seed`. */
interface V2Parts {
  readonly etcdKey: string
  readonly plaintext: Uint8Array
  readonly seed: Uint8Array
  readonly ciphertext: Uint8Array
  readonly keyId: string
  readonly annotations?: Readonly<Record<string, Uint8Array>>
  readonly provider?: string
  /** False encrypts with the seed itself, as up to Kubernetes 1.28. */
  readonly derived?: boolean
}

export async function v2Value(parts: V2Parts): Promise<Bytes> {
  const { etcdKey, plaintext, seed, ciphertext, keyId, annotations = {} } = parts
  const { provider = 'trousseau', derived = true } = parts
  const info = Uint8Array.from(randomBytes(32))
  const key = derived ? await firstBlock(bytesOf(seed), info) : bytesOf(seed)
  const sealed = await gcm(key, bytesOf(plaintext), bytesOf(etcdKey))
  return concat(
    `k8s:enc:kms:v2:${provider}:`,
    field(1, derived ? concat(info, sealed) : sealed),
    field(2, keyId),
    field(3, ciphertext),
    ...Object.entries(annotations).map(([name, value]) => entry(4, name, value)),
    ...(derived ? [number(5, 1)] : []),
  )
}

/** HKDF-Expand of RFC 5869, its first block. */
async function firstBlock(seed: Bytes, info: Bytes): Promise<Bytes> {
  const algorithm = { name: 'HMAC', hash: 'SHA-256' }
  const key = await crypto.subtle.importKey('raw', seed, algorithm, false, ['sign'])
  return new Uint8Array(await crypto.subtle.sign('HMAC', key, concat(info, Uint8Array.of(1))))
}

interface V1Parts {
  readonly etcdKey: string
  readonly plaintext: Uint8Array
  readonly key: Uint8Array
  readonly wrappedKey: Uint8Array
  readonly provider?: string
  /** As up to Kubernetes 1.24. */
  readonly cbc?: boolean
}

export async function v1Value(parts: V1Parts): Promise<Bytes> {
  const { etcdKey, plaintext, key, wrappedKey, provider = 'trousseau', cbc = false } = parts
  const { length } = wrappedKey
  const sealed = cbc
    ? cbcOf(key, plaintext)
    : await gcm(bytesOf(key), bytesOf(plaintext), bytesOf(etcdKey))
  const size = Uint8Array.of(Math.floor(length / 256), length % 256)
  return concat(`k8s:enc:kms:v1:${provider}:`, size, wrappedKey, sealed)
}

function cbcOf(key: Uint8Array, plaintext: Uint8Array): Bytes {
  const iv = randomBytes(16)
  const cipher = createCipheriv('aes-256-cbc', key, iv)
  return concat(iv, cipher.update(plaintext), cipher.final())
}
