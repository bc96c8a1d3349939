/**
 * Files of recovery keys: public halves for the config, private ones in the clear or
 * encrypted with a passphrase (a JWE of the JWK, RFC 7517 §7).
 *
 * @module
 */

import { lstat, readFile, rm, stat } from 'node:fs/promises'
import { CompactEncrypt, compactDecrypt } from 'jose'
import { KmsError, systemCodeOf, systemReasonOf } from '../base/errors.ts'
import { writeNewFile } from '../base/file_on_disk.ts'
import type { RecoverySealer } from '../kms/recovery.ts'
import { checkSeals, createRecoverySealer } from './annotation.ts'
import {
  type PrivateJwk,
  type PublicJwk,
  parsePrivateJwk,
  parsePublicJwk,
  type RecoveryKeyPair,
} from './jwk.ts'

const KEY_ALGORITHM = 'PBES2-HS512+A256KW'
const CONTENT_ALGORITHM = 'A256GCM'
/** More than OWASP demands of PBKDF2 with SHA-512 (210,000); it takes about a third of a second. */
const ITERATIONS = 600_000
/** A file that demands more iterations would block this program. */
const MAX_ITERATIONS = 10_000_000
const SALT_BYTES = 16
const PRIVATE_MODE = 0o600
const PUBLIC_MODE = 0o644
const MAX_FILE_BYTES = 16_384
const PRESENT = 'is there already, and nothing is overwritten'

/**
 * Makes the sealer for the recipients of a config.
 *
 * @param paths files of public keys
 * @throws KmsError `request_invalid`
 */
export async function loadRecoverySealer(paths: readonly string[]): Promise<RecoverySealer> {
  const keys = await Promise.all(
    paths.map(async (path) => {
      const where = `File "${path}" of recovery.recipients`
      const key = parsePublicJwk(await textOf(path), where)
      await checkSeals(key, where)
      return key
    }),
  )
  return await createRecoverySealer(keys)
}

/** True where the file can only be read with a passphrase. */
export async function isEncrypted(path: string): Promise<boolean> {
  return !(await textOf(path)).trimStart().startsWith('{')
}

/**
 * @param passphrase for a file that is encrypted
 * @throws KmsError `request_invalid`
 */
export async function readPrivateKey(
  path: string,
  passphrase: string | undefined,
): Promise<PrivateJwk> {
  const text = await textOf(path)
  const where = `File "${path}"`
  if (text.trimStart().startsWith('{')) return parsePrivateJwk(text, where)
  if (passphrase === undefined) throw refused(path, 'is encrypted: a passphrase is wanted')
  try {
    const { plaintext } = await compactDecrypt(text.trim(), new TextEncoder().encode(passphrase), {
      keyManagementAlgorithms: [KEY_ALGORITHM],
      contentEncryptionAlgorithms: [CONTENT_ALGORITHM],
      maxPBES2Count: MAX_ITERATIONS,
    })
    return parsePrivateJwk(new TextDecoder().decode(plaintext), where)
  } catch (cause) {
    if (cause instanceof KmsError) throw cause
    throw refused(
      path,
      'does not open: the passphrase is another one, or the file is damaged',
      cause,
    )
  }
}

/** The path of the public half that belongs to the file of a private key. */
export function publicPathOf(path: string): string {
  return `${path}.pub.json`
}

/**
 * Checked before anything is asked or made.
 *
 * @throws KmsError `request_invalid` where one of the files exists
 */
export async function checkAbsent(paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    const found = await lstat(path).catch(() => undefined)
    if (found !== undefined) throw refused(path, PRESENT)
  }
}

/**
 * Writes both halves or neither, and never overwrites a file.
 *
 * @param passphrase undefined leaves the private key in the clear
 * @throws KmsError `request_invalid`
 */
export async function writeKeyPair(
  path: string,
  { privateJwk, publicJwk }: Pick<RecoveryKeyPair, 'privateJwk' | 'publicJwk'>,
  passphrase: string | undefined,
): Promise<void> {
  await writePrivateKey(path, privateJwk, passphrase)
  try {
    await writePublicKey(publicPathOf(path), publicJwk)
  } catch (error) {
    // Half a pair would be a key that nobody uses and somebody may find.
    await rm(path, { force: true })
    throw error
  }
}

/**
 * Never overwrites a file.
 *
 * @param passphrase undefined leaves the key in the clear
 * @throws KmsError `request_invalid`
 */
export async function writePrivateKey(
  path: string,
  jwk: PrivateJwk,
  passphrase: string | undefined,
): Promise<void> {
  const plain = JSON.stringify(jwk)
  await write(
    path,
    `${passphrase === undefined ? plain : await encrypted(plain, passphrase)}\n`,
    PRIVATE_MODE,
  )
}

/** @throws KmsError `request_invalid` */
export async function writePublicKey(path: string, jwk: PublicJwk): Promise<void> {
  await write(path, `${JSON.stringify(jwk)}\n`, PUBLIC_MODE)
}

async function encrypted(plain: string, passphrase: string): Promise<string> {
  const salt = crypto.getRandomValues(new Uint8Array(SALT_BYTES))
  return await new CompactEncrypt(new TextEncoder().encode(plain))
    .setProtectedHeader({ alg: KEY_ALGORITHM, enc: CONTENT_ALGORITHM, cty: 'jwk+json' })
    .setKeyManagementParameters({ p2c: ITERATIONS, p2s: salt })
    .encrypt(new TextEncoder().encode(passphrase))
}

async function textOf(path: string): Promise<string> {
  try {
    const { size } = await stat(path)
    if (size <= MAX_FILE_BYTES) return await readFile(path, 'utf8')
  } catch (cause) {
    throw refused(path, `cannot be read: ${systemReasonOf(cause)}`, cause)
  }
  throw refused(path, 'is too long for a key')
}

async function write(path: string, text: string, mode: number): Promise<void> {
  try {
    await writeNewFile(path, text, mode)
  } catch (cause) {
    const present = systemCodeOf(cause) === 'EEXIST'
    throw refused(path, present ? PRESENT : `cannot be made: ${systemReasonOf(cause)}`, cause)
  }
}

function refused(path: string, why: string, cause?: unknown): KmsError {
  return new KmsError(`File "${path}" ${why}`, { code: 'request_invalid', cause })
}
