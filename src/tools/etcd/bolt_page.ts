/**
 * Pages of a bbolt file, which is what etcd keeps its data in. Every number comes from the file and
 * is checked before it is used.
 *
 *     page    id u64, flags u16, count u16, overflow u32, then `count` elements, then their keys and values
 *     branch  position u32, key size u32, page u64
 *     leaf    flags u32, position u32, key size u32, value size u32
 *
 * All little-endian; a position counts from the start of its element.
 *
 * @module
 */

import type { Buffer } from 'node:buffer'
import type { Refuse } from './raw_file.ts'

export const PAGE_HEADER_BYTES = 16
const ELEMENT_BYTES = 16
const BRANCH = 0x01
const LEAF = 0x02
const HOLDS_BUCKET = 0x01

interface PageHeader {
  readonly id: bigint
  readonly flags: number
  readonly count: number
  /** How many of the following pages belong to this one. */
  readonly overflow: number
}

export interface Leaf {
  readonly key: Buffer
  readonly value: Buffer
  /** True where the value is a bucket. */
  readonly bucket: boolean
}

type Page =
  | { readonly kind: 'branch'; readonly children: readonly bigint[] }
  | { readonly kind: 'leaf'; readonly entries: readonly Leaf[] }

export function readHeader(bytes: Buffer): PageHeader {
  return {
    id: bytes.readBigUInt64LE(0),
    flags: bytes.readUInt16LE(8),
    count: bytes.readUInt16LE(10),
    overflow: bytes.readUInt32LE(12),
  }
}

/**
 * @param bytes the page with its overflow pages
 * @param where names the page in a refusal
 * @throws KmsError `ciphertext_invalid`
 */
export function readPage(bytes: Buffer, where: string, refuse: Refuse): Page {
  if (bytes.length < PAGE_HEADER_BYTES) throw refuse(`${where} is cut off`)
  const { flags, count } = readHeader(bytes)
  const end = PAGE_HEADER_BYTES + count * ELEMENT_BYTES
  if (end > bytes.length) throw refuse(`${where} claims ${count} entries, which do not fit`)
  const elements = Array.from({ length: count }, (_, at) => PAGE_HEADER_BYTES + at * ELEMENT_BYTES)
  /** The key of an element, which is followed by its value. */
  const keyOf = (element: number, position: number, bytesLong: number): number => {
    const start = element + position
    if (start >= end && start + bytesLong <= bytes.length) return start
    throw refuse(`${where} has an entry that points outside it`)
  }
  if (flags === BRANCH) {
    if (count === 0) throw refuse(`${where} leads nowhere`)
    const children = elements.map((at) => {
      keyOf(at, bytes.readUInt32LE(at), bytes.readUInt32LE(at + 4))
      return bytes.readBigUInt64LE(at + 8)
    })
    return { kind: 'branch', children }
  }
  if (flags !== LEAF) throw refuse(`${where} is neither branch nor leaf`)
  const entries = elements.map((at): Leaf => {
    const [keyBytes, valueBytes] = [bytes.readUInt32LE(at + 8), bytes.readUInt32LE(at + 12)]
    const start = keyOf(at, bytes.readUInt32LE(at + 4), keyBytes + valueBytes)
    return {
      key: bytes.subarray(start, start + keyBytes),
      value: bytes.subarray(start + keyBytes, start + keyBytes + valueBytes),
      bucket: (bytes.readUInt32LE(at) & HOLDS_BUCKET) !== 0,
    }
  })
  return { kind: 'leaf', entries }
}
