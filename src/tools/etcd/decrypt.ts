/**
 * Undoes what an API server did to an object with a key or seed that its plugin wrapped. It needs
 * nothing but the unwrapped bytes (docs/recovery.md).
 *
 * @module
 */

import { createDecipheriv, createHmac } from 'node:crypto'
import { KmsError } from '../../base/errors.ts'
import { SEED_BYTES } from '../../base/limits.ts'
import { readRecord, type V1Record, type V2Record } from './record.ts'

const GCM = 'aes-256-gcm'
const CBC = 'aes-256-cbc'
const NONCE_BYTES = 12
const TAG_BYTES = 16
const BLOCK_BYTES = 16
/** Random bytes that are made for every object; with the seed they give the object's key. */
const INFO_BYTES = 32
/** HKDF-Expand counts its blocks, and 32 bytes are the first. */
const FIRST_BLOCK = Uint8Array.of(1)

/**
 * The object as the API server would have stored it in the clear.
 *
 * @param unwrapped what the plugin gave the API server to encrypt with
 * @param etcdKey the object's whole key in etcd, to which the ciphertext is bound
 * @throws KmsError `ciphertext_invalid`
 */
export function decryptObject(
  record: V2Record | V1Record,
  unwrapped: Uint8Array,
  etcdKey: Uint8Array,
): Uint8Array {
  // Keys and seeds have the same length in every version of Kubernetes.
  const opened = unwrapped.length === SEED_BYTES ? open(record, unwrapped, etcdKey) : undefined
  if (opened !== undefined) return opened
  throw new KmsError(
    'Object does not open with the key that was unwrapped for it: it is damaged, or it was copied here from another key of etcd',
    { code: 'ciphertext_invalid' },
  )
}

function open(
  record: V2Record | V1Record,
  unwrapped: Uint8Array,
  etcdKey: Uint8Array,
): Uint8Array | undefined {
  if (record.form === 'kms-v2') return openV2(record, unwrapped, etcdKey)
  // Up to Kubernetes 1.24 it was AES-CBC, and nothing in the value says which one it is.
  const { encryptedData } = record
  return openGcm(encryptedData, unwrapped, etcdKey) ?? openCbc(encryptedData, unwrapped)
}

function openV2(
  { sourceType, encryptedData }: V2Record,
  unwrapped: Uint8Array,
  etcdKey: Uint8Array,
): Uint8Array | undefined {
  if (sourceType === 'key') return openGcm(encryptedData, unwrapped, etcdKey)
  // HKDF-Expand alone; node's own HKDF would begin with an extraction.
  const key = createHmac('sha256', unwrapped)
    .update(encryptedData.subarray(0, INFO_BYTES))
    .update(FIRST_BLOCK)
    .digest()
  const opened = openGcm(encryptedData.subarray(INFO_BYTES), key, etcdKey)
  key.fill(0)
  return opened
}

function openGcm(data: Uint8Array, key: Uint8Array, etcdKey: Uint8Array): Uint8Array | undefined {
  if (data.length < NONCE_BYTES + TAG_BYTES) return undefined
  const nonce = data.subarray(0, NONCE_BYTES)
  const decipher = createDecipheriv(GCM, key, nonce, { authTagLength: TAG_BYTES })
  decipher.setAAD(etcdKey).setAuthTag(data.subarray(-TAG_BYTES))
  return ended(decipher, data.subarray(NONCE_BYTES, -TAG_BYTES))
}

/** AES-CBC authenticates nothing, so the result must also look like an object. */
function openCbc(data: Uint8Array, key: Uint8Array): Uint8Array | undefined {
  if (data.length < 2 * BLOCK_BYTES) return undefined
  const decipher = createDecipheriv(CBC, key, data.subarray(0, BLOCK_BYTES))
  const opened = ended(decipher, data.subarray(BLOCK_BYTES))
  return opened !== undefined && readRecord(opened).form === 'plaintext' ? opened : undefined
}

interface Decipher {
  update(data: Uint8Array): Uint8Array
  final(): Uint8Array
}

function ended(decipher: Decipher, data: Uint8Array): Uint8Array | undefined {
  const opened = new Uint8Array(data.length)
  try {
    const most = decipher.update(data)
    opened.set(most)
    const rest = decipher.final()
    opened.set(rest, most.length)
    return opened.subarray(0, most.length + rest.length)
  } catch {
    return undefined
  }
}
