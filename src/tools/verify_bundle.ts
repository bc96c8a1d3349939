/**
 * `trousseau verify-bundle` checks whether a release, or what was unpacked of it, is what its
 * makers signed. It uses no network.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { createHash, createPublicKey, createVerify, type KeyObject } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, join, relative, resolve } from 'node:path'
import type { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { KmsError, systemReasonOf } from '../base/errors.ts'
import { keyFingerprint } from '../base/key_fingerprint.ts'
import type { Io } from '../console/io.ts'
import { EXIT, json, printable } from '../console/output.ts'

const SUMS = 'SHA256SUMS'
const SUMS_LINE = /^([0-9a-f]{64}) {2}(\S.*)$/
const SHOWN = 10
/** The limit for base64; a signature of P-256 has about 100 characters. */
const MAX_SIGNATURE_BYTES = 1_000

export interface VerifyBundleFlags {
  readonly key: string
  readonly signature?: string
  readonly json: boolean
}

/** @throws KmsError `request_invalid` where something cannot be read or is not what was signed */
export async function verifyBundle(
  path: string,
  flags: VerifyBundleFlags,
  io: Io,
): Promise<number> {
  const key = await publicKeyOf(flags.key)
  const isFolder = (await stat(path).catch(cannotRead(path))).isDirectory()
  const signed = isFolder ? join(path, SUMS) : path
  await checkSignature(signed, flags.signature ?? `${signed}.sig`, key)
  const listed = isFolder ? await checkFiles(path) : undefined
  const what = listed === undefined ? '' : `, and all ${listed} files are as it lists them`
  const name = basename(resolve(path))
  const fingerprint = keyFingerprint(key)
  io.out(
    flags.json
      ? json({ path: resolve(path), signed: true, key: fingerprint, files: listed })
      : `${printable(name)}: signed with the key ${fingerprint}${what}\n`,
  )
  return EXIT.ok
}

async function publicKeyOf(path: string): Promise<KeyObject> {
  const pem = await readFile(path, 'utf8').catch(cannotRead(path))
  const wanted = `${path} is no public key of the curve P-256 in PEM ("-----BEGIN PUBLIC KEY-----")`
  if (!pem.includes('PUBLIC KEY')) throw refused(wanted)
  let key: KeyObject
  try {
    key = createPublicKey(pem)
  } catch (cause) {
    throw refused(wanted, cause)
  }
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw refused(wanted)
  return key
}

/** ECDSA with SHA-256, as openssl and cosign make it: DER in base64, on one line. */
async function checkSignature(path: string, signaturePath: string, key: KeyObject): Promise<void> {
  const text = await readFile(signaturePath).catch(cannotRead(signaturePath))
  const signature = Buffer.from(text.toString('latin1'), 'base64')
  const plain = text.toString('latin1').replace(/\n$/, '')
  // A signer does not write what a lenient decoder would skip.
  if (text.length > MAX_SIGNATURE_BYTES || signature.toString('base64') !== plain) {
    throw refused(`${signaturePath} is damaged: wanted base64 on one line`)
  }
  const verifier = createVerify('sha256')
  await streamed(path, verifier)
  if (!verifier.verify(key, signature)) {
    throw refused(
      `${path} is NOT what was signed, or was signed with another key: do not use it. ` +
        'Fetch it anew, and the key from its makers',
    )
  }
}

/** @returns the number of files */
async function checkFiles(folder: string): Promise<number> {
  const listed = listedIn(await readFile(join(folder, SUMS), 'utf8'))
  const present = await filesBelow(folder)
  const problems: string[] = [
    ...[...present]
      .filter(([path, isFile]) => !isFile || !(listed.has(path) || isOwn(path)))
      .map(([path, isFile]) => `${path} ${isFile ? 'is not listed' : 'is no plain file'}`),
    ...[...listed.keys()].filter((path) => !present.has(path)).map((path) => `${path} is missing`),
  ]
  for (const [path, digest] of listed) {
    if (present.get(path) !== true) continue
    const hash = createHash('sha256')
    await streamed(join(folder, path), hash)
    if (hash.digest('hex') !== digest) problems.push(`${path} was changed`)
  }
  if (problems.length === 0) return listed.size
  const shown = problems
    .toSorted((a, b) => (a < b ? -1 : 1))
    .slice(0, SHOWN)
    .map((problem) => `\n  ${printable(problem)}`)
  const more = problems.length > SHOWN ? `\n  and ${problems.length - SHOWN} more` : ''
  throw refused(
    `${folder} is NOT what was signed: do not use it, and unpack it anew.${shown.join('')}${more}`,
  )
}

function listedIn(sums: string): Map<string, string> {
  const listed = new Map<string, string>()
  for (const line of sums.split('\n')) {
    if (line === '') continue
    const [, digest, path] = SUMS_LINE.exec(line) ?? []
    if (digest === undefined || path === undefined) {
      throw refused(`${SUMS} has a line that sha256sum would not write: ${printable(line)}`)
    }
    listed.set(path, digest)
  }
  return listed
}

function isOwn(path: string): boolean {
  return path === SUMS || path === `${SUMS}.sig`
}

/** Everything but folders, by its path from the folder; true for plain files. */
async function filesBelow(folder: string): Promise<Map<string, boolean>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return new Map(
    entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => [relative(folder, join(entry.parentPath, entry.name)), entry.isFile()]),
  )
}

async function streamed(path: string, into: Writable): Promise<void> {
  await pipeline(createReadStream(path), into).catch(cannotRead(path))
}

function cannotRead(path: string) {
  return (cause: unknown): never => {
    throw refused(`Cannot read ${path}: ${systemReasonOf(cause)}`, cause)
  }
}

function refused(message: string, cause?: unknown): KmsError {
  return new KmsError(message, { code: 'request_invalid', cause })
}
