/**
 * Files of recovery keys: public halves for the config, private ones in the clear or
 * encrypted with a passphrase (a JWE of the JWK, RFC 7517 §7).
 *
 * @module
 */

import { open, readFile, stat } from 'node:fs/promises'
import { CompactEncrypt, compactDecrypt } from 'jose'
import { KmsError } from '../kms/errors.ts'
import type { RecoverySealer } from '../kms/recovery.ts'
import { createRecoverySealer } from './annotation.ts'
import { type PrivateJwk, type PublicJwk, parsePrivateJwk, parsePublicJwk } from './jwk.ts'

const KEY_ALGORITHM = 'PBES2-HS512+A256KW'
const CONTENT_ALGORITHM = 'A256GCM'
/** Above what OWASP asks of PBKDF2 with SHA-512 (210,000); about a third of a second. */
const ITERATIONS = 600_000
/** A file that asks for more would hold this program up. */
const MAX_ITERATIONS = 10_000_000
const SALT_BYTES = 16
const PRIVATE_MODE = 0o600
const PUBLIC_MODE = 0o644
const MAX_FILE_BYTES = 16_384

/**
 * The sealer for the recipients of a config.
 *
 * @param paths files of public keys
 * @throws KmsError `request_invalid`
 */
export async function loadRecoverySealer(paths: readonly string[]): Promise<RecoverySealer> {
  const keys = await Promise.all(
    paths.map(async (path) =>
      parsePublicJwk(await textOf(path), `File "${path}" of recovery.recipients`),
    ),
  )
  return await createRecoverySealer(keys)
}

/** True where reading the file takes a passphrase. */
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

/**
 * Nothing is ever overwritten.
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
    throw refused(path, `cannot be read (${codeOf(cause)})`, cause)
  }
  throw refused(path, 'is too long for a key')
}

async function write(path: string, text: string, mode: number): Promise<void> {
  try {
    const file = await open(path, 'wx', mode)
    try {
      await file.chmod(mode)
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
  } catch (cause) {
    const code = codeOf(cause)
    const why =
      code === 'EEXIST'
        ? 'is there already, and nothing is overwritten'
        : `cannot be made (${code})`
    throw refused(path, why, cause)
  }
}

function codeOf(cause: unknown): string {
  return cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error'
}

function refused(path: string, why: string, cause?: unknown): KmsError {
  return new KmsError(`File "${path}" ${why}`, { code: 'request_invalid', cause })
}
