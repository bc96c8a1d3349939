/**
 * The two pages at the start of a bbolt file that say where everything else is. The page of the
 * last transaction counts, or the other one where its checksum is wrong.
 *
 * magic u32, version u32, page size u32, flags u32, root page u64, sequence u64, freelist page u64,
 * first page after the data u64, transaction u64, FNV-1a of all that u64
 *
 * @module
 */

import type { Buffer } from 'node:buffer'
import { PAGE_HEADER_BYTES } from './bolt_page.ts'
import type { Refuse } from './raw_file.ts'

export interface Meta {
  readonly pageSize: number
  /** The page of the root bucket. */
  readonly root: bigint
  /** The number of pages in use; pages from this one on hold nothing. */
  readonly pages: bigint
}

/** How much of the file's start must be read to find both pages. */
export const META_SEARCH_BYTES = 128 * 1024

const MAGIC = 0xed0cdaed
const VERSION = 2
const BODY_BYTES = 56
const PAGE_SIZES = [1, 2, 4, 8, 16, 32, 64].map((kilobytes) => kilobytes * 1024)
const FNV_OFFSET = 0xcbf29ce484222325n
const FNV_PRIME = 0x100000001b3n

/**
 * @param start the first bytes of the file
 * @throws KmsError `ciphertext_invalid`
 */
export function readMeta(start: Buffer, refuse: Refuse): Meta {
  const found = [0, ...PAGE_SIZES]
    .map((at) => ({ at, meta: metaAt(start, at + PAGE_HEADER_BYTES) }))
    .filter(({ at, meta }) => meta !== undefined && (at === 0 || at === meta.pageSize))
    .flatMap(({ meta }) => meta ?? [])
    .sort((a, b) => (a.transaction < b.transaction ? 1 : -1))
  const [newest] = found
  if (newest !== undefined) return newest
  const known = [0, ...PAGE_SIZES].some((at) => magicAt(start, at + PAGE_HEADER_BYTES))
  throw refuse(
    known
      ? 'it is damaged: both of its meta pages are'
      : 'it is not a snapshot of etcd, nor its database file "member/snap/db"',
  )
}

function metaAt(start: Buffer, at: number): (Meta & { readonly transaction: bigint }) | undefined {
  if (!magicAt(start, at)) return undefined
  const checksum = start.readBigUInt64LE(at + BODY_BYTES)
  if (fnv1a(start.subarray(at, at + BODY_BYTES)) !== checksum) return undefined
  const pageSize = start.readUInt32LE(at + 8)
  if (start.readUInt32LE(at + 4) !== VERSION || !PAGE_SIZES.includes(pageSize)) return undefined
  return {
    pageSize,
    root: start.readBigUInt64LE(at + 16),
    pages: start.readBigUInt64LE(at + 40),
    transaction: start.readBigUInt64LE(at + 48),
  }
}

function magicAt(start: Buffer, at: number): boolean {
  return start.length >= at + BODY_BYTES + 8 && start.readUInt32LE(at) === MAGIC
}

function fnv1a(bytes: Uint8Array): bigint {
  let sum = FNV_OFFSET
  for (const byte of bytes) sum = BigInt.asUintN(64, (sum ^ BigInt(byte)) * FNV_PRIME)
  return sum
}
