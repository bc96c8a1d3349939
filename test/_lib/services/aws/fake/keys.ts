/** Keys of the fake KMS: real AES-256-GCM, several generations of key material, aliases. @module */

import { Buffer } from 'node:buffer'
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  type DecipherGCM,
  randomBytes,
  randomUUID,
} from 'node:crypto'
import { Refusal } from './answers.ts'

export type Context = Readonly<Record<string, string>>

export interface FakeKey {
  readonly id: string
  readonly arn: string
  /** Newest last. */
  readonly materials: { readonly id: string; readonly key: Buffer }[]
  readonly multiRegion: boolean
  /** Seconds since the epoch, with fractions as KMS has them. */
  readonly createdAt: number
  state: string
  usage: string
  spec: string
  /** True to act like a service that never reads the encryption context. */
  deaf: boolean
}

const MAGIC = Buffer.from('0102030078', 'hex')
/** Makes a wrap of 32 bytes as long as that of KMS: 184 bytes. */
const PADDING = 55
const IV = 12
const TAG = 16
const HEAD = MAGIC.length + 32 + 32

export class FakeKeys {
  readonly region: string
  readonly account: string
  readonly all = new Map<string, FakeKey>()
  /** Key ids by the name after `alias/`. */
  readonly aliases = new Map<string, string>()

  constructor(region: string, account: string) {
    this.region = region
    this.account = account
  }

  make({ multiRegion = false, createdAt = 1_700_000_000.25, like }: MakeOptions = {}): FakeKey {
    const made = multiRegion ? `mrk-${randomUUID().replaceAll('-', '')}` : randomUUID()
    const id = like?.id ?? made
    const arn = `arn:aws:kms:${this.region}:${this.account}:key/${id}`
    const materials = like?.materials ?? [newMaterial()]
    const usage = 'ENCRYPT_DECRYPT'
    const use = { state: 'Enabled', usage, spec: 'SYMMETRIC_DEFAULT', deaf: false }
    const key = { id, arn, materials, multiRegion, createdAt, ...use }
    this.all.set(id, key)
    return key
  }

  /** By id, ARN, alias or ARN of an alias. */
  find(name: string): FakeKey {
    const prefix = `arn:aws:kms:${this.region}:${this.account}:`
    if (name.startsWith('arn:') && !name.startsWith(prefix)) {
      throw new Refusal('NotFoundException', `Invalid arn ${name.split(':')[3]}`)
    }
    const local = name.startsWith(prefix) ? name.slice(prefix.length) : name
    const id = local.startsWith('alias/')
      ? (this.aliases.get(local.slice('alias/'.length)) ?? '')
      : local.replace(/^key\//, '')
    const key = this.all.get(id)
    if (key === undefined) throw new Refusal('NotFoundException', `Key '${name}' does not exist`)
    return key
  }

  aliasesOf(key: FakeKey): string[] {
    return [...this.aliases].filter(([, id]) => id === key.id).map(([name]) => `alias/${name}`)
  }
}

interface MakeOptions {
  readonly multiRegion?: boolean
  readonly createdAt?: number
  /** A replica of this one. */
  readonly like?: FakeKey
}

export function rotate(key: FakeKey): void {
  key.materials.push(newMaterial())
}

export function encrypt(key: FakeKey, plaintext: Buffer, context: Context): Buffer {
  checkUsable(key)
  if (plaintext.length < 1 || plaintext.length > 4096) throw new Refusal('ValidationException')
  const material = key.materials.at(-1) ?? newMaterial()
  const head = Buffer.concat([MAGIC, hash(key.id), Buffer.from(material.id, 'hex')])
  const iv = randomBytes(IV)
  const cipher = createCipheriv('aes-256-gcm', material.key, iv).setAAD(aadOf(key, head, context))
  const sealed = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
  return Buffer.concat([head, iv, Buffer.alloc(PADDING, 7), sealed])
}

export function decrypt(key: FakeKey, ciphertext: Buffer, context: Context): Buffer {
  checkUsable(key)
  if (ciphertext.length > 6144) throw new Refusal('ValidationException')
  const at = HEAD + IV + PADDING
  const whole = ciphertext.length > at + TAG && ciphertext.subarray(0, MAGIC.length).equals(MAGIC)
  if (!whole) throw new Refusal('InvalidCiphertextException')
  const owner = ciphertext.subarray(MAGIC.length, MAGIC.length + 32)
  if (!owner.equals(hash(key.id))) throw new Refusal('IncorrectKeyException')
  const id = ciphertext.subarray(MAGIC.length + 32, HEAD).toString('hex')
  const material = key.materials.find((one) => one.id === id)
  if (material === undefined) throw new Refusal('InvalidCiphertextException')
  const iv = ciphertext.subarray(HEAD, HEAD + IV)
  const decipher = createDecipheriv('aes-256-gcm', material.key, iv, { authTagLength: TAG })
  decipher
    .setAAD(aadOf(key, ciphertext.subarray(0, HEAD), context))
    .setAuthTag(ciphertext.subarray(-TAG))
  const opened = finished(decipher, ciphertext.subarray(at, -TAG))
  if (opened === undefined) throw new Refusal('InvalidCiphertextException')
  return opened
}

/** Undefined where the tag does not fit. */
function finished(decipher: DecipherGCM, sealed: Uint8Array): Buffer | undefined {
  try {
    return Buffer.concat([decipher.update(sealed), decipher.final()])
  } catch {
    return undefined
  }
}

export function metadataOf(key: FakeKey, account: string): object {
  const deletion = key.state.includes('Deletion') ? { DeletionDate: 1_900_000_000.5 } : {}
  return {
    AWSAccountId: account,
    Arn: key.arn,
    KeyId: key.id,
    CreationDate: key.createdAt,
    CurrentKeyMaterialId: key.materials.at(-1)?.id,
    Enabled: key.state === 'Enabled',
    KeyManager: 'CUSTOMER',
    KeySpec: key.spec,
    KeyState: key.state,
    KeyUsage: key.usage,
    MultiRegion: key.multiRegion,
    Origin: 'AWS_KMS',
    ...deletion,
  }
}

function checkUsable({ state, usage, spec }: FakeKey): void {
  if (state === 'Disabled') throw new Refusal('DisabledException')
  if (state !== 'Enabled' && state !== 'Updating') throw new Refusal('KMSInvalidStateException')
  if (usage !== 'ENCRYPT_DECRYPT' || spec !== 'SYMMETRIC_DEFAULT') {
    throw new Refusal('InvalidKeyUsageException')
  }
}

function aadOf({ deaf }: FakeKey, head: Buffer, context: Context): Buffer {
  if (deaf) return head
  const sorted = Object.entries(context).sort(([a], [b]) => (a < b ? -1 : 1))
  return Buffer.concat([head, Buffer.from(JSON.stringify(sorted))])
}

function newMaterial() {
  return { id: randomBytes(32).toString('hex'), key: randomBytes(32) }
}

function hash(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
