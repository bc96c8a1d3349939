/** Checks signatures of heads. @module */

import { Buffer } from 'node:buffer'
import { createPublicKey, type KeyObject } from 'node:crypto'
import { compactVerify } from 'jose'
import { KmsError, systemReasonOf } from '../../base/errors.ts'
import { keyFingerprint } from '../../base/key_fingerprint.ts'
import { readSmallFile } from '../../base/small_file.ts'
import { HEAD_TYPE } from '../../observe/audit/head.ts'
import type { HeadLine } from '../../observe/audit/lines.ts'
import { algorithmOf } from '../../remote/assertion.ts'

/** By their fingerprints. */
export type HeadKeys = ReadonlyMap<string, KeyObject>

/** @throws KmsError `request_invalid` where a file is no public key that signs heads */
export async function headKeys(paths: readonly string[]): Promise<HeadKeys> {
  const keys = await Promise.all(paths.map(publicKeyAt))
  return new Map(keys.map((key) => [keyFingerprint(key), key]))
}

async function publicKeyAt(path: string): Promise<KeyObject> {
  const text = await readSmallFile(path).catch((cause: unknown) => {
    throw refused(`Cannot read ${path}: ${systemReasonOf(cause)}`, cause)
  })
  const wanted = `${path} is no public key of a login key in PEM, as "trousseau login-key public FILE" prints it`
  if (!text.includes('-----BEGIN PUBLIC KEY-----')) throw refused(wanted)
  let key: KeyObject
  try {
    key = createPublicKey(text)
  } catch (cause) {
    throw refused(wanted, cause)
  }
  if (algorithmOf(key) === undefined) throw refused(wanted)
  return key
}

/**
 * What is wrong with the signature of a head; undefined for a good one.
 *
 * @param raw the line as it was parsed, in its own order
 */
export async function signatureProblem(
  raw: object,
  { key: name = '', signature = '' }: HeadLine,
  keys: HeadKeys,
): Promise<string | undefined> {
  const key = keys.get(name)
  if (key === undefined) return `says that key ${name} signed it, which is none of --key`
  const signed = JSON.stringify({ ...raw, signature: undefined })
  const algorithms = [algorithmOf(key) ?? '']
  try {
    const { payload, protectedHeader } = await compactVerify(signature, key, { algorithms })
    const isWhole =
      protectedHeader.typ === HEAD_TYPE &&
      Buffer.from(payload).toString() === signed &&
      signature.split('.').every(isCanonical)
    return isWhole ? undefined : 'has a signature of something else'
  } catch {
    return 'has a signature that is wrong'
  }
}

/** The last character of base64url may be written in several ways. */
function isCanonical(part: string): boolean {
  return Buffer.from(part, 'base64url').toString('base64url') === part
}

function refused(message: string, cause?: unknown): KmsError {
  return new KmsError(message, { code: 'request_invalid', cause })
}
