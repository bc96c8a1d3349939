/**
 * The messages of Cloud KMS's methods. Bytes are standard base64, an int64 is a string, and a field
 * with its default value is left out (proto3's JSON).
 *
 * https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys
 * (`encrypt`, `decrypt`, `get`), `….cryptoKeyVersions` (`list`), and
 * https://cloud.google.com/kms/docs/data-integrity-guidelines for the checksums.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import * as v from 'valibot'
import { KmsError } from '../../base/errors.ts'
import type { KeyVersion, Plain, Wrapped } from '../../base/provider.ts'
import { wrong } from '../wrap_check.ts'
import { crc32c } from './crc32c.ts'
import { ChecksumError } from './errors.ts'

const base64 = v.optional(v.pipe(v.string(), v.check(isBase64)), '')
const int64 = v.optional(v.pipe(v.string(), v.digits()))
const yes = v.optional(v.boolean(), false)

export const encryptAnswer = v.object({
  name: v.string(),
  ciphertext: base64,
  ciphertextCrc32c: int64,
  verifiedPlaintextCrc32c: yes,
  verifiedAdditionalAuthenticatedDataCrc32c: yes,
})
export const decryptAnswer = v.object({ plaintext: base64, plaintextCrc32c: int64 })

export const keyAnswer = v.object({
  name: v.string(),
  purpose: v.string(),
  /** Absent where no version was ever made the primary one. */
  primary: v.optional(v.object({ name: v.string() })),
})
export const versionsAnswer = v.object({
  cryptoKeyVersions: v.optional(
    v.array(
      v.object({
        name: v.pipe(v.string(), v.regex(/\/cryptoKeyVersions\/[1-9]\d{0,8}$/)),
        state: v.string(),
        createTime: v.pipe(v.string(), v.regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/)),
      }),
    ),
    [],
  ),
  nextPageToken: v.optional(v.string(), ''),
})
export type ListedVersion = v.InferOutput<typeof versionsAnswer>['cryptoKeyVersions'][number]

export function encryptBody({ plaintext, associatedData }: Plain): object {
  return {
    plaintext: encoded(plaintext),
    plaintextCrc32c: String(crc32c(plaintext)),
    ...associated(associatedData),
  }
}

export function decryptBody({ bytes, associatedData }: Wrapped): object {
  return {
    ciphertext: encoded(bytes),
    ciphertextCrc32c: String(crc32c(bytes)),
    ...(associatedData === undefined ? {} : associated(associatedData)),
  }
}

/**
 * @param wanted the resource name of the version that was asked for
 * @throws KmsError `protocol`
 */
export function ciphertextIn(
  answer: v.InferOutput<typeof encryptAnswer>,
  wanted: string,
): Uint8Array {
  const { verifiedPlaintextCrc32c, verifiedAdditionalAuthenticatedDataCrc32c } = answer
  if (!verifiedPlaintextCrc32c || !verifiedAdditionalAuthenticatedDataCrc32c) {
    throw new ChecksumError('did not see the checksums of what it encrypted')
  }
  if (!isSame(answer.name, wanted)) {
    const message = `Cloud KMS did not encrypt under version ${versionOf(wanted)}, which it was asked for`
    throw new KmsError(message, { code: 'protocol' })
  }
  return checked(answer.ciphertext, answer.ciphertextCrc32c)
}

/** @throws KmsError `protocol` */
export function plaintextIn(answer: v.InferOutput<typeof decryptAnswer>): Uint8Array {
  return checked(answer.plaintext, answer.plaintextCrc32c)
}

/**
 * @throws KmsError `protocol` where the answer is about another key than the one that was asked for
 */
export function checkIdentity(
  { name, primary }: v.InferOutput<typeof keyAnswer>,
  listed: readonly ListedVersion[],
  key: string,
): void {
  const versions = [...listed, ...(primary === undefined ? [] : [primary])]
  const keys = versions.map((version) => version.name.replace(/\/cryptoKeyVersions\/\d+$/, ''))
  if (![name, ...keys].every((told) => isSame(told, key))) throw wrong('for another key')
}

/**
 * Oldest first. A version that is newer than the primary one does not encrypt, since the operator
 * chooses which version does, and Google's own clients follow that choice.
 *
 * @param primary resource name of the primary version
 */
export function versionsOf(
  listed: readonly ListedVersion[],
  primary: string | undefined,
): KeyVersion[] {
  const newest = primary === undefined ? 0 : versionOf(primary)
  return listed
    .map(({ name, state, createTime }) => ({ number: versionOf(name), state, createTime }))
    .sort((a, b) => a.number - b.number)
    .map(({ number, state, createTime }) => ({
      label: String(number),
      createdAt: Date.parse(`${createTime.slice(0, 'yyyy-mm-ddThh:mm:ss'.length)}Z`) / 1000,
      mayEncrypt: state === 'ENABLED' && number <= newest,
      mayDecrypt: state === 'ENABLED',
    }))
}

function versionOf(name: string): number {
  return Number(name.slice(name.lastIndexOf('/') + 1))
}

/** A project has a number and an id, and the request may have used either. */
function isSame(told: string, wanted: string): boolean {
  const [one, other] = [told, wanted].map((name) => name.replace(/^projects\/[^/]+\//, ''))
  return one === other
}

function associated(data: Uint8Array): object {
  return {
    additionalAuthenticatedData: encoded(data),
    additionalAuthenticatedDataCrc32c: String(crc32c(data)),
  }
}

function checked(text: string, sum: string | undefined): Uint8Array {
  const bytes = Buffer.from(text, 'base64')
  if (sum === String(crc32c(bytes))) return bytes
  throw new ChecksumError('answered bytes that do not fit their checksum')
}

/** Encodes the bytes in place, since a copy would be one more place with key material. */
function encoded({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64')
}

function isBase64(text: string): boolean {
  return Buffer.from(text, 'base64').toString('base64') === text
}
