/** One key of Cloud KMS, with real encryption. @module */

import { Buffer } from 'node:buffer'
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { failure, invalid, ok, preconditionFailure, type Reply } from './reply.ts'

interface FakeVersion {
  readonly number: number
  state: string
  /** As the API gives it. */
  createTime: string
  /** Marks the ciphertexts of this version. */
  readonly mark: Buffer
  readonly material: Buffer
}

const MARK_BYTES = 38
const IV_BYTES = 12
const TAG_BYTES = 16
/** What makes a ciphertext as long as those of the service. */
const FILLER = Buffer.alloc(15, 1)
const HSM_BYTES = 8_192

type Fields = Readonly<Record<string, unknown>>

export class FakeKey {
  readonly name: string
  purpose = 'ENCRYPT_DECRYPT'
  primary: number | undefined
  readonly versions: FakeVersion[] = []
  /** True to act like a service that never reads the associated data. */
  deaf = false

  constructor(name: string) {
    this.name = name
  }

  /** A new version, which becomes the primary one unless told otherwise. */
  rotate(now: number, { primary = true } = {}): FakeVersion {
    const number = this.versions.length + 1
    const createTime = new Date(now).toISOString().replace(/Z$/, '456789Z')
    const mark = Buffer.concat([Buffer.from([0x0a, 0x24]), randomBytes(MARK_BYTES - 2)])
    const version = { number, state: 'ENABLED', createTime, mark, material: randomBytes(32) }
    this.versions.push(version)
    if (primary) this.primary = number
    return version
  }

  version(number: number): FakeVersion {
    const version = this.versions[number - 1]
    if (version === undefined) throw new Error(`No version ${number}`)
    return version
  }

  get(): Reply {
    const primary = this.versions.find(({ number }) => number === this.primary)
    return ok({
      name: this.name,
      purpose: this.purpose,
      createTime: this.versions[0]?.createTime,
      ...(primary === undefined ? {} : { primary: this.#shown(primary) }),
    })
  }

  /** Newest first: the API promises no order. */
  list(pageSize: number, pageToken: string): Reply {
    const start = pageToken === '' ? 0 : Number(pageToken.replace('page ', ''))
    const all = this.versions.toReversed()
    const page = all.slice(start, start + pageSize).map((version) => this.#shown(version))
    const end = start + pageSize
    const more = end < all.length ? { nextPageToken: `page ${end}` } : {}
    return ok({
      ...(page.length === 0 ? {} : { cryptoKeyVersions: page }),
      totalSize: all.length,
      ...more,
    })
  }

  encrypt(number: number, body: Fields): Reply {
    const names = ['plaintext', 'additionalAuthenticatedData']
    const read = bytesIn(body, names)
    if ('status' in read) return read
    const [plaintext = Buffer.alloc(0), aad = Buffer.alloc(0)] = read.bytes
    if (plaintext.length + aad.length > HSM_BYTES) return invalid('too long')
    const version = this.versions[number - 1]
    if (version === undefined) {
      return failure(404, 'NOT_FOUND', `CryptoKeyVersion ${this.name}/${number} not found.`)
    }
    if (version.state !== 'ENABLED') return this.#notEnabled(version)
    const iv = randomBytes(IV_BYTES)
    const cipher = createCipheriv('aes-256-gcm', version.material, iv)
    cipher.setAAD(Buffer.concat([version.mark, FILLER, this.#bound(aad)]))
    const sealed = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
    const ciphertext = Buffer.concat([version.mark, FILLER, iv, sealed])
    return ok({
      name: this.#nameOf(version),
      ciphertext: ciphertext.toString('base64'),
      ciphertextCrc32c: crcOf(ciphertext),
      // Left out where it is false, as all defaults are.
      ...('plaintextCrc32c' in body ? { verifiedPlaintextCrc32c: true } : {}),
      ...('additionalAuthenticatedDataCrc32c' in body
        ? { verifiedAdditionalAuthenticatedDataCrc32c: true }
        : {}),
      protectionLevel: 'SOFTWARE',
    })
  }

  decrypt(body: Fields): Reply {
    const read = bytesIn(body, ['ciphertext', 'additionalAuthenticatedData'])
    if ('status' in read) return read
    const [ciphertext = Buffer.alloc(0), aad = Buffer.alloc(0)] = read.bytes
    const version = this.versions.find(({ mark }) =>
      ciphertext.subarray(0, MARK_BYTES).equals(mark),
    )
    if (version === undefined) {
      return invalid("Decryption failed: verify that 'name' refers to the correct CryptoKey.")
    }
    if (version.state !== 'ENABLED') return this.#notEnabled(version)
    const plaintext = opened(ciphertext, version, this.#bound(aad))
    if (plaintext === undefined) return invalid('Decryption failed: the ciphertext is invalid.')
    return ok({
      ...(plaintext.length === 0 ? {} : { plaintext: plaintext.toString('base64') }),
      plaintextCrc32c: crcOf(plaintext),
      usedPrimary: version.number === this.primary,
      protectionLevel: 'SOFTWARE',
    })
  }

  #bound(aad: Buffer): Buffer {
    return this.deaf ? Buffer.alloc(0) : aad
  }

  #nameOf({ number }: FakeVersion): string {
    return `${this.name}/cryptoKeyVersions/${number}`
  }

  #shown(version: FakeVersion): object {
    const { state, createTime } = version
    const algorithm = 'GOOGLE_SYMMETRIC_ENCRYPTION'
    return {
      name: this.#nameOf(version),
      state,
      createTime,
      algorithm,
      protectionLevel: 'SOFTWARE',
    }
  }

  #notEnabled(version: FakeVersion): Reply {
    const name = this.#nameOf(version)
    const message = `${name} is not enabled, current state is: ${version.state}.`
    const detail = preconditionFailure('KEY_DISABLED', name)
    return failure(400, 'FAILED_PRECONDITION', message, [detail])
  }
}

function opened(ciphertext: Buffer, { material, mark }: FakeVersion, aad: Buffer) {
  const start = MARK_BYTES + FILLER.length
  if (ciphertext.length < start + IV_BYTES + TAG_BYTES) return undefined
  const iv = ciphertext.subarray(start, start + IV_BYTES)
  const decipher = createDecipheriv('aes-256-gcm', material, iv)
  decipher.setAAD(Buffer.concat([mark, ciphertext.subarray(MARK_BYTES, start), aad]))
  decipher.setAuthTag(ciphertext.subarray(-TAG_BYTES))
  try {
    const sealed = ciphertext.subarray(start + IV_BYTES, -TAG_BYTES)
    return Buffer.concat([decipher.update(sealed), decipher.final()])
  } catch {
    return undefined
  }
}

/** The named bytes and their checksums; anything else in the body is refused, as Google does. */
function bytesIn(body: Fields, names: readonly string[]): Reply | { bytes: Buffer[] } {
  const known = names.flatMap((name) => [name, `${name}Crc32c`])
  const unknown = Object.keys(body).find((name) => !known.includes(name))
  if (unknown !== undefined) {
    return invalid(`Invalid JSON payload received. Unknown name "${unknown}"`)
  }
  const bytes: Buffer[] = []
  for (const name of names) {
    const read = bytesOf(body[name] ?? '', body[`${name}Crc32c`], name)
    if (!Buffer.isBuffer(read)) return read
    bytes.push(read)
  }
  return { bytes }
}

function bytesOf(text: unknown, sum: unknown, name: string): Buffer | Reply {
  const read = typeof text === 'string' ? Buffer.from(text, 'base64') : undefined
  if (read === undefined || read.toString('base64') !== text) {
    return invalid(`Invalid value at ${name}`)
  }
  if (sum === undefined) return read
  if (typeof sum !== 'string') return invalid(`Invalid value at ${name}Crc32c`)
  if (sum === crcOf(read)) return read
  const field = name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
  return invalid(`The checksum in field ${field}_crc32c did not match the data in field ${field}.`)
}

/** CRC-32C bit by bit, so that the product is not judged by the product. */
export function crcOf(bytes: Uint8Array): string {
  let sum = 0xffffffffn
  for (const byte of bytes) {
    sum ^= BigInt(byte)
    for (let bit = 0; bit < 8; bit += 1)
      sum = (sum & 1n) === 1n ? (sum >> 1n) ^ 0x82f63b78n : sum >> 1n
  }
  return String(sum ^ 0xffffffffn)
}
