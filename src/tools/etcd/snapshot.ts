/**
 * The objects in a file of etcd: what `etcdctl snapshot save` wrote, or a member's own database.
 *
 * Its bucket `key` has one entry for each change, in the order of revisions: the name is the
 * revision, `main u64 _ sub u64` in big-endian and a `t` where a key was deleted, and the value is an
 * encoded KeyValue. A key's last change is what counts. One pass over the file finds which these
 * are, and keeps four bytes for each; a second one reads them.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { createHash, hash } from 'node:crypto'
import { setImmediate as others } from 'node:timers/promises'
import { create, fromBinary } from '@bufbuild/protobuf'
import { BoltFile } from './bolt_file.ts'
import type { Leaf } from './bolt_page.ts'
import { type KeyValue, KeyValueSchema } from './range_pb.ts'
import { openRaw, type RawFile, type Refuse } from './raw_file.ts'
import type { ObjectSource, StoredObject } from './source.ts'

interface Snapshot extends ObjectSource {
  /** False for a member's own database, which has no checksum. */
  readonly verified: boolean
}

interface Change {
  readonly revision: bigint
  readonly deletes: boolean
  readonly key: Uint8Array
  readonly value: Uint8Array
}

const DIGEST_BYTES = 32
/** The database has whole pages, so what follows the last multiple of this is the checksum. */
const BLOCK_BYTES = 512
const CHUNK_BYTES = 1024 * 1024
const REVISION_BYTES = 17
const SEPARATOR = '_'.charCodeAt(0)
const TOMBSTONE = 't'.charCodeAt(0)
const FIRST_REVISION = 1n
const COMPACTIONS = ['finishedCompactRev', 'scheduledCompactRev']
/** 128 bits of SHA-256, so that nobody can choose two keys of which one would hide the other. */
const KEY_DIGEST_BYTES = 16
const PAGE_OBJECTS = 500
const PAGE_BYTES = 4 * 1024 * 1024

/**
 * @param prefix of the API server, without a slash at its end
 * @throws KmsError `request_invalid` where the file cannot be opened, `ciphertext_invalid` where it is damaged
 */
export async function openSnapshot(path: string, prefix: string): Promise<Snapshot> {
  const file = openRaw(path)
  try {
    const verified = await verify(file)
    const database = new BoltFile(file)
    const index = await indexOf(database, `${prefix}/`, file.refuse)
    return {
      verified,
      revision: index.revision,
      count: index.live.length,
      pages: () => livePages(database, index.live, file.refuse),
      [Symbol.asyncDispose]: () => Promise.resolve(file[Symbol.dispose]()),
    }
  } catch (error) {
    file[Symbol.dispose]()
    throw error
  }
}

/** Compares the checksum that `etcdctl snapshot save` appends; false where there is none. */
async function verify(file: RawFile): Promise<boolean> {
  const { size, refuse } = file
  if (size === 0) throw refuse('it is empty')
  if (size % BLOCK_BYTES === 0) return false
  if (size % BLOCK_BYTES !== DIGEST_BYTES) {
    throw refuse('it is truncated, or not of etcd: it ends neither with a page nor with a checksum')
  }
  const sum = createHash('sha256')
  const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES)
  const end = size - DIGEST_BYTES
  for (let at = 0; at < end; at += CHUNK_BYTES) {
    sum.update(file.read(chunk.subarray(0, Math.min(CHUNK_BYTES, end - at)), at))
    await others()
  }
  const stored = file.read(Buffer.alloc(DIGEST_BYTES), end)
  if (!sum.digest().equals(stored)) throw refuse('it is damaged: its SHA-256 checksum is wrong')
  return true
}

interface Index {
  readonly revision: bigint
  /** Which changes are the last ones of their keys, counted from the first change in the file. */
  readonly live: Uint32Array
}

async function indexOf(database: BoltFile, prefix: string, refuse: Refuse): Promise<Index> {
  const last = new Map<string, number>()
  let revision = compacted(database, refuse)
  let at = 0
  for (const entries of database.bucket('key')) {
    for (const change of changesOf(entries, refuse)) {
      note(last, change, at, Buffer.from(prefix))
      revision = later(revision, change.revision)
      at += 1
    }
    await others()
  }
  return { revision, live: Uint32Array.from(last.values()) }
}

function note(
  last: Map<string, number>,
  { key, deletes }: Change,
  at: number,
  prefix: Buffer,
): void {
  if (!prefix.equals(key.subarray(0, prefix.length))) return
  const digest = hash('sha256', key, 'buffer').toString('latin1', 0, KEY_DIGEST_BYTES)
  // Removed first, so that the map stays in the order of changes.
  last.delete(digest)
  if (!deletes) last.set(digest, at)
}

async function* livePages(
  database: BoltFile,
  live: Uint32Array,
  refuse: Refuse,
): AsyncGenerator<readonly StoredObject[]> {
  const cursor = { at: 0, next: 0 }
  let page: StoredObject[] = []
  let bytes = 0
  for (const entries of database.bucket('key')) {
    for (const object of liveOf(changesOf(entries, refuse), live, cursor)) {
      page.push(object)
      bytes += object.value.length
    }
    if (page.length < PAGE_OBJECTS && bytes < PAGE_BYTES) continue
    yield page
    await others()
    page = []
    bytes = 0
  }
  if (cursor.next < live.length) throw refuse('it changed while it was read')
  if (page.length > 0) yield page
}

/** Moves the cursor, which counts the changes that were seen and those of them that are live. */
function liveOf(
  changes: readonly Change[],
  live: Uint32Array,
  cursor: { at: number; next: number },
): StoredObject[] {
  return changes
    .filter(() => {
      const found = cursor.at === live[cursor.next]
      cursor.at += 1
      cursor.next += found ? 1 : 0
      return found
    })
    .map(({ key, value, revision }) => ({ key, value, modRevision: revision }))
}

function changesOf(entries: readonly Leaf[], refuse: Refuse): Change[] {
  return entries.map((entry) => {
    const { revision, deletes } = revisionOf(entry.key, refuse)
    const { key, value, modRevision } = keyValue(entry.value)
    // A deletion has only the key.
    const fits = key.length > 0 && (deletes || modRevision === revision)
    if (!fits) throw refuse(`it is damaged: revision ${revision} is not a key and its value`)
    return { revision, deletes, key, value }
  })
}

function keyValue(bytes: Buffer): KeyValue {
  try {
    return fromBinary(KeyValueSchema, bytes, { readUnknownFields: false })
  } catch {
    return create(KeyValueSchema)
  }
}

function revisionOf(name: Buffer, refuse: Refuse): Pick<Change, 'revision' | 'deletes'> {
  const deletes = name.length === REVISION_BYTES + 1 && name[REVISION_BYTES] === TOMBSTONE
  const formed = (name.length === REVISION_BYTES || deletes) && name[8] === SEPARATOR
  if (!formed) throw refuse('it is damaged: where a revision belongs there is none')
  return { revision: name.readBigUInt64BE(0), deletes }
}

/**
 * The revision up to which etcd had forgotten old changes. Once all keys are deleted, nothing else
 * tells the revision.
 */
function compacted(database: BoltFile, refuse: Refuse): bigint {
  let revision = FIRST_REVISION
  for (const entries of database.bucket('meta')) {
    for (const { key, value } of entries) {
      if (!COMPACTIONS.includes(key.toString())) continue
      revision = later(revision, revisionOf(value, refuse).revision)
    }
  }
  return revision
}

function later(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}
