/**
 * Key files of this node: versions of one key, with a random id that never changes and a checksum
 * that detects damage. The `local` provider has one of AES-256 keys, and a signer one of private keys. No file is ever overwritten, and none is made without
 * being asked for (rule F9), because a lost version means lost Secrets.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { link, realpath, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import process from 'node:process'
import * as v from 'valibot'
import { KmsError, systemCodeOf, systemReasonOf } from '../../base/errors.ts'
import { nameOnDisk, writeNewFile } from '../../base/file_on_disk.ts'
import { readSmallFile } from '../../base/small_file.ts'

const AES_BYTES = 32
const ID_BYTES = 16
const FILE_MODE = 0o600
const GROUP_AND_OTHERS = 0o077
const MAX_FILE_BYTES = 1_048_576

export interface LocalKeys {
  readonly id: string
  /** Oldest first; versions are numbered from 1. */
  readonly keys: readonly LocalKey[]
}

export interface LocalKey {
  readonly version: number
  /** Seconds since the epoch. */
  readonly createdAt: number
  readonly key: Uint8Array
}

/** Distinguishes two states of a file without reading it. */
export interface FileMark {
  readonly inode: number
  readonly size: number
  readonly mtimeMs: number
}

/** What is in a file of one kind. */
export interface KeyKind {
  /** Stands in the file. */
  readonly kind: string
  /** A key in base64. */
  readonly spelling: RegExp
  fresh(): Uint8Array
}

const AES_KEYS: KeyKind = {
  kind: 'TrousseauLocalKeys',
  spelling: /^[A-Za-z0-9+/]{43}=$/,
  fresh: () => new Uint8Array(randomBytes(AES_BYTES)),
}

function fileSchema({ kind, spelling }: KeyKind) {
  return v.strictObject({
    kind: v.literal(kind),
    format: v.literal(1),
    id: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)),
    keys: v.pipe(
      v.array(
        v.strictObject({
          version: v.pipe(v.number(), v.integer(), v.minValue(1)),
          createdAt: v.pipe(v.number(), v.integer(), v.minValue(0)),
          key: v.pipe(v.string(), v.regex(spelling)),
        }),
      ),
      v.minLength(1),
      v.check((keys) => keys.every(({ version }, index) => version === index + 1)),
    ),
    checksum: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  })
}
type FileContent = v.InferOutput<ReturnType<typeof fileSchema>>

/** Makes a file with one new key. It never touches a file that exists. */
export async function createKeyFile(
  path: string,
  now: () => number,
  kind: KeyKind = AES_KEYS,
): Promise<LocalKeys> {
  const id = randomBytes(ID_BYTES).toString('hex')
  const keys: LocalKeys = { id, keys: [newKey(1, now, kind)] }
  const draft = await writeDraft(path, keys, kind)
  try {
    // Unlike a rename, making a link fails where a file exists.
    await link(draft, path)
    await nameOnDisk(path)
  } catch (cause) {
    if (systemCodeOf(cause) !== 'EEXIST') throw cannot('create', path, cause)
    throw new KmsError(`Key file "${path}" exists already: nothing was changed`, {
      code: 'request_invalid',
      cause,
    })
  } finally {
    await rm(draft, { force: true })
  }
  return keys
}

/** Adds a version and keeps the older ones. The file is replaced in one step. */
export async function addKeyVersion(
  path: string,
  now: () => number,
  kind: KeyKind = AES_KEYS,
): Promise<LocalKeys> {
  const { keys } = await readKeyFile(path, kind)
  const next = { id: keys.id, keys: [...keys.keys, newKey(keys.keys.length + 1, now, kind)] }
  const target = await realpath(path)
  const draft = await writeDraft(target, next, kind)
  try {
    await rename(draft, target)
    await nameOnDisk(target)
  } catch (cause) {
    await rm(draft, { force: true })
    throw cannot('replace', path, cause)
  }
  return next
}

/** @throws KmsError `key_unavailable` for a file that is missing, damaged, or readable by others */
export async function readKeyFile(
  path: string,
  kind: KeyKind = AES_KEYS,
): Promise<{ keys: LocalKeys; mark: FileMark }> {
  const mark = await markOf(path)
  const text = await readSmallFile(path).catch((cause: unknown) => {
    throw cannot('read', path, cause)
  })
  return { keys: parseKeys(path, text, kind), mark }
}

/**
 * Reads a file that has changed.
 *
 * @throws KmsError as {@link readKeyFile} does, and where it is not the same file with all keys of before
 */
export async function readContinuation(
  path: string,
  before: LocalKeys,
  kind: KeyKind = AES_KEYS,
): Promise<{ keys: LocalKeys; mark: FileMark }> {
  const read = await readKeyFile(path, kind)
  const { id, keys } = read.keys
  if (id === before.id && continues(before.keys, keys)) return read
  throw new KmsError(
    `Key file "${path}" is not a continuation of the one in use: put back a file that has all its versions`,
    { code: 'key_unavailable' },
  )
}

export async function markOf(path: string): Promise<FileMark> {
  const found = await stat(path).catch((cause: unknown) => {
    throw cannot('read', path, cause)
  })
  if (!found.isFile()) throw refused(path, 'is not a file', 'name the file that keygen made')
  if ((found.mode & GROUP_AND_OTHERS) !== 0) {
    const mode = (found.mode & 0o777).toString(8).padStart(4, '0')
    throw refused(
      path,
      `has mode ${mode}`,
      'wanted 0600: chmod 0600 it, and rotate if others read it',
    )
  }
  if (!ownedByUs(found.uid)) {
    throw refused(path, `belongs to uid ${found.uid}`, 'give it to the user that runs Trousseau')
  }
  if (found.size > MAX_FILE_BYTES)
    throw refused(path, 'is too long', 'restore it from the safe copy')
  return { inode: found.ino, size: found.size, mtimeMs: found.mtimeMs }
}

/** Whether all keys of before are there still. */
function continues(before: readonly LocalKey[], after: readonly LocalKey[]): boolean {
  return before.every(({ key, createdAt }, index) => {
    const now = after[index]
    return now?.createdAt === createdAt && now.key.every((byte, at) => byte === key[at])
  })
}

export function sameMark(a: FileMark, b: FileMark): boolean {
  return a.inode === b.inode && a.size === b.size && a.mtimeMs === b.mtimeMs
}

function ownedByUs(uid: number): boolean {
  const own = process.geteuid?.()
  return own === undefined || own === 0 || own === uid
}

function parseKeys(path: string, text: string, kind: KeyKind): LocalKeys {
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), fileSchema(kind)), text)
  // The error has no cause, because the parser's error quotes what it read.
  if (!result.success) throw damaged(path)
  const content = result.output
  const wanted = Buffer.from(content.checksum, 'hex')
  if (!timingSafeEqual(wanted, checksumOf(content))) throw damaged(path)
  const keys = content.keys.map(({ version, createdAt, key }) => ({
    version,
    createdAt,
    key: new Uint8Array(Buffer.from(key, 'base64')),
  }))
  return { id: content.id, keys }
}

function checksumOf({ kind, format, id, keys }: Omit<FileContent, 'checksum'>): Buffer {
  const listed = keys.map(({ version, createdAt, key }) => [version, createdAt, key])
  return createHash('sha256')
    .update(JSON.stringify([kind, format, id, listed]))
    .digest()
}

async function writeDraft(
  path: string,
  { id, keys }: LocalKeys,
  { kind }: KeyKind,
): Promise<string> {
  const content = {
    kind,
    format: 1 as const,
    id,
    keys: keys.map(({ version, createdAt, key }) => ({
      version,
      createdAt,
      key: Buffer.from(key).toString('base64'),
    })),
  }
  const checksum = checksumOf(content).toString('hex')
  const draft = `${path}.${randomBytes(6).toString('hex')}.new`
  try {
    await writeNewFile(draft, `${JSON.stringify({ ...content, checksum }, null, 2)}\n`, FILE_MODE)
  } catch (cause) {
    throw cannot('write into the folder of', path, cause)
  }
  return draft
}

function newKey(version: number, now: () => number, kind: KeyKind): LocalKey {
  return { version, createdAt: Math.floor(now() / 1000), key: kind.fresh() }
}

function cannot(action: string, path: string, cause: unknown): KmsError {
  const hint =
    systemCodeOf(cause) === 'ENOENT' && action === 'read'
      ? 'restore it from the safe copy, or make one with "trousseau keygen" where none was ever used'
      : `check that folder "${dirname(path)}" exists and may be used by this user`
  return new KmsError(`Cannot ${action} key file "${path}": ${systemReasonOf(cause)}; ${hint}`, {
    code: 'key_unavailable',
    cause,
  })
}

function refused(path: string, what: string, hint: string): KmsError {
  return new KmsError(`Key file "${path}" ${what}: ${hint}`, { code: 'key_unavailable' })
}

function damaged(path: string): KmsError {
  return refused(
    path,
    'is damaged',
    'restore it from the safe copy; never make a new one in its place',
  )
}
