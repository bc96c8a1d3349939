/** `trousseau recover list` shows what a source holds, and whose keys could open it. @module */

import { Buffer } from 'node:buffer'
import { KmsError } from '../../base/errors.ts'
import type { Io } from '../../console/io.ts'
import { EXIT, type Failure, failureOf } from '../../console/output.ts'
import { counted, Progress } from '../../console/progress.ts'
import { type Found, isEncrypted, isSelected, pagesOf, type Selection } from '../etcd/found.ts'
import { protectionNote } from '../etcd/protection_note.ts'
import { openStorage, type StorageFlags } from '../etcd/storage.ts'
import { whole } from './tally.ts'

export interface RecoverListOptions extends StorageFlags, Selection {
  readonly json: boolean
}

/**
 * Objects in the clear are listed only where their resource is asked for.
 *
 * @throws KmsError where the storage cannot be read
 */
export async function recoverList(options: RecoverListOptions, io: Io): Promise<number> {
  const storage = await openStorage(options, io)
  try {
    const { source } = storage
    const listing = options.json ? new JsonListing(io) : new Listing(io)
    const progress = new Progress(io, source.count)
    const seen = new Set<string>()
    const listed = (found: Found) => isListed(found, options) && noted(found, seen)
    listing.begin(source.revision)
    try {
      for await (const page of pagesOf(source, options.prefix, listed, progress)) {
        progress.clear()
        listing.add(page)
      }
      if (listing.count === 0) throw nothingFound(options)
    } catch (error) {
      if (listing instanceof JsonListing) listing.end(failureOf(error))
      throw error
    } finally {
      progress.clear()
    }
    listing.end()
    tellAbsent(options, seen, io)
    return EXIT.ok
  } finally {
    await storage.close()
  }
}

class Listing {
  count = 0
  protected readonly io: Io
  /** What opens an object is a long text, and the same for most objects, so it is shown once. */
  protected readonly notes = new Map<string, { readonly number: number; objects: number }>()
  #revision = 0n

  constructor(io: Io) {
    this.io = io
  }

  begin(revision: bigint): void {
    this.#revision = revision
  }

  add(page: readonly Found[]): void {
    this.io.out(page.map((found) => this.line(found, this.#noteOf(found))).join(''))
  }

  end(): void {
    const { io, count, notes } = this
    io.out(`\n${counted(count, 'object')} at revision ${this.#revision}. What opens them:\n\n`)
    for (const [text, { number, objects }] of notes) {
      io.out(`  ${number}  (${counted(objects, 'object')}) ${whole(text)}\n`)
    }
  }

  protected line({ name }: Found, note: number): string {
    return `${note}  ${whole(name)}\n`
  }

  #noteOf({ record }: Found): number {
    const text = protectionNote(record)
    const note = this.notes.get(text) ?? { number: this.notes.size + 1, objects: 0 }
    this.notes.set(text, note)
    note.objects += 1
    this.count += 1
    return note.number
  }
}

class JsonListing extends Listing {
  override begin(revision: bigint): void {
    this.io.out(`{\n  "revision": "${revision}",\n  "objects": [`)
  }

  /** @param failure why reading ended too early */
  override end(failure?: Failure): void {
    const protections = [...this.notes].map(([openedBy, note]) => ({ ...note, openedBy }))
    const error = failure === undefined ? '' : `,\n  "error": ${JSON.stringify(failure)}`
    this.io.out(`\n  ],\n  "protections": ${JSON.stringify(protections)}${error}\n}\n`)
  }

  protected override line({ object, key }: Found, protection: number): string {
    const entry = { ...object, key: Buffer.from(key).toString('utf8'), protection }
    return `${this.count === 1 ? '' : ','}\n    ${JSON.stringify(entry)}`
  }
}

function isListed(found: Found, selection: Selection): boolean {
  if (!isSelected(found, selection)) return false
  return selection.resources === undefined ? isEncrypted(found) : found.record.form !== 'foreign'
}

/** Always true. */
export function noted({ object }: Found, seen: Set<string>): boolean {
  seen.add(object?.resource ?? '')
  return true
}

/** One of several resources may be misspelt while the others are found. */
export function tellAbsent({ resources = [] }: Selection, seen: Set<string>, io: Io): void {
  const absent = resources.filter((name) => !seen.has(name))
  if (absent.length === 0) return
  io.err(`trousseau: Nothing there is of ${absent.join(', ')}, and of that namespace and name\n`)
}

/** @throws KmsError `request_invalid` */
export function nothingFound({ resources }: Selection): KmsError {
  const what = resources === undefined ? 'is encrypted' : 'is of that resource, namespace and name'
  return new KmsError(
    `Nothing there ${what}; "trousseau recover list" shows what is, and --prefix says where to look`,
    { code: 'request_invalid' },
  )
}
