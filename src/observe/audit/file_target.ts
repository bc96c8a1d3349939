/**
 * The audit stream in a file, with those that were rotated beside it. No file is ever gone on with
 * by another process: what is there at a start is renamed, so that a process that still writes to
 * it, such as one whose socket was taken over, keeps a whole chain of its own.
 *
 * @module
 */

import { constants, type FileHandle, lstat, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import process from 'node:process'
import { KmsError, systemCodeOf } from '../../base/errors.ts'
import { makeFolder } from '../../base/make_folder.ts'
import { endOf } from './last_line.ts'
import { type ChainLink, ORIGIN } from './lines.ts'
import { deleteOldest, type RotatedFile, rotatedFiles, rotatedPath } from './rotated_files.ts'
import type { AuditTarget, Before } from './target.ts'

const { O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants
const NEW_FILE = O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW
const FILE_MODE = 0o600
const FOLDER_MODE = 0o700
/** The disk has no room now, and may have again. */
const FULL = new Set(['ENOSPC', 'EDQUOT', 'EAGAIN', 'EINTR'])

interface AuditFileOptions {
  readonly path: string
  /** Of all files that were rotated. */
  readonly maxTotalBytes: number
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

export class AuditFile implements AuditTarget {
  readonly name: string
  readonly #options: AuditFileOptions
  #file: FileHandle | undefined
  /** Whether a part of this process ended with a head. */
  #ended = false

  constructor(options: AuditFileOptions) {
    this.#options = options
    this.name = options.path
  }

  async look(): Promise<void> {
    const { path } = this.#options
    await makeFolder(dirname(path), FOLDER_MODE)
    await foundAt(path)
  }

  async begin(own: ChainLink | undefined): Promise<Before> {
    const { path, maxTotalBytes, now } = this.#options
    await this.#drop()
    await makeFolder(dirname(path), FOLDER_MODE)
    const found = await foundAt(path)
    const before = own === undefined ? await lastOf(path, found) : this.#own(own)
    if (found?.size === 0) await rm(path)
    else if (found !== undefined) await rename(path, await freePath(path, now(), before.link.seq))
    this.#file = await open(path, NEW_FILE, FILE_MODE)
    this.#ended = false
    // What cannot be deleted now is tried again at the next rotation.
    await deleteOldest(path, maxTotalBytes).catch(() => undefined)
    return before
  }

  async write(bytes: Uint8Array): Promise<number> {
    if (this.#file === undefined) throw new TypeError('Wanted a file that was begun')
    if ((await this.#file.stat()).nlink === 0) {
      throw new KmsError('Somebody removed the file', { code: 'unavailable' })
    }
    return (await this.#file.write(bytes)).bytesWritten
  }

  goesOn(error: unknown): boolean {
    return FULL.has(systemCodeOf(error) ?? '')
  }

  async end(): Promise<void> {
    this.#ended = true
    // Node's permission model, under which the binary runs, lets no open file be flushed.
    await this.#file?.sync().catch((error: unknown) => {
      if (systemCodeOf(error) !== 'ERR_ACCESS_DENIED') throw error
    })
    await this.#drop()
  }

  #own(link: ChainLink): Before {
    return { link, after: this.#ended ? 'rotated' : 'failed' }
  }

  /** What cannot be closed is of no use either. */
  async #drop(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    await file?.close().catch(() => undefined)
  }
}

/**
 * Undefined where there is nothing.
 *
 * @throws KmsError where something else is there than a file of this user
 */
async function foundAt(path: string): Promise<{ readonly size: number } | undefined> {
  const found = await lstat(path).catch((error: unknown) => {
    if (systemCodeOf(error) === 'ENOENT') return undefined
    throw error
  })
  if (found === undefined) return undefined
  const wanted = 'wanted a file, or nothing, there'
  if (found.isSymbolicLink()) throw refused(`It is a symbolic link: ${wanted}`)
  if (!found.isFile()) throw refused(`It is no file: ${wanted}`)
  const own = process.geteuid?.()
  if (own !== undefined && found.uid !== own) {
    throw refused(`It belongs to user ${found.uid}, and this is user ${own}`)
  }
  return found
}

/** What other processes wrote last: the file that is there, or the newest that was rotated. */
async function lastOf(path: string, found: { readonly size: number } | undefined): Promise<Before> {
  const rotated = await rotatedFiles(path)
  if (found === undefined || found.size === 0) return await lastOfRotated(rotated)
  const end = await endOf(path, rotated.at(-1)?.seq ?? ORIGIN.seq)
  return end ?? { ...(await lastOfRotated(rotated)), after: 'torn' }
}

async function lastOfRotated(rotated: readonly RotatedFile[]): Promise<Before> {
  for (const { path, seq } of rotated.toReversed()) {
    const end = await endOf(path, seq)
    if (end !== undefined) return end
  }
  return { link: ORIGIN, after: 'nothing' }
}

/** A rename would replace what has the name. */
async function freePath(path: string, now: number, seq: number): Promise<string> {
  const rotated = rotatedPath(path, now, seq)
  return (await foundAt(rotated)) === undefined ? rotated : await freePath(path, now + 1, seq)
}

function refused(message: string): KmsError {
  return new KmsError(message, { code: 'denied' })
}
