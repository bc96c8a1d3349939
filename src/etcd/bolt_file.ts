/**
 * A bbolt file that is read page by page, never as a whole, and trusted in nothing: a page that is
 * reached twice, stands outside the file or is not what leads to it is a refusal.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import type { KmsError } from '../kms/errors.ts'
import { META_SEARCH_BYTES, type Meta, readMeta } from './bolt_meta.ts'
import { type Leaf, readHeader, readPage } from './bolt_page.ts'
import type { RawFile } from './raw_file.ts'

/** Where a bucket starts: at a page of its own, or inside the entry that names it. */
type Bucket = { readonly root: bigint } | { readonly inline: Buffer }

/** A bucket's value: root page u64, sequence u64, and the page itself where the root is 0. */
const BUCKET_BYTES = 16
/** Trees of any size are much lower. */
const MAX_DEPTH = 32
/** A page with two values of the largest size that anybody lets etcd take is far below. */
const MAX_PAGE_BYTES = 128 * 1024 * 1024

export class BoltFile {
  readonly #file: RawFile
  readonly #meta: Meta

  /** @throws KmsError `ciphertext_invalid` */
  constructor(file: RawFile) {
    this.#file = file
    this.#meta = readMeta(file.read(Buffer.alloc(META_SEARCH_BYTES), 0), file.refuse)
    const { pages, pageSize } = this.#meta
    if (pages * BigInt(pageSize) > BigInt(file.size)) {
      throw file.refuse(`it is truncated: its ${pages} pages of ${pageSize} bytes are not all there`)
    }
  }

  /** The entries of a bucket at the top, in order, a page at a time. */
  *bucket(name: string): Generator<readonly Leaf[]> {
    const seen = new Uint8Array(Math.ceil(Number(this.#meta.pages) / 8))
    for (const entries of this.#walk({ root: this.#meta.root }, seen)) {
      const found = entries.find(({ key, bucket }) => bucket && key.toString() === name)
      if (found === undefined) continue
      yield* this.#walk(this.#located(found.value), seen)
      return
    }
    throw this.#file.refuse(`it is not of etcd: it has no bucket "${name}"`)
  }

  #located(value: Buffer): Bucket {
    if (value.length < BUCKET_BYTES) throw this.#file.refuse('it is damaged: a bucket is cut off')
    const root = value.readBigUInt64LE(0)
    return root === 0n ? { inline: value.subarray(BUCKET_BYTES) } : { root }
  }

  *#walk(bucket: Bucket, seen: Uint8Array): Generator<readonly Leaf[]> {
    const { refuse } = this.#file
    if ('inline' in bucket) {
      const page = readPage(bucket.inline, 'it is damaged: an inline bucket', refuse)
      if (page.kind === 'branch') throw refuse('it is damaged: an inline bucket has branches')
      yield page.entries
      return
    }
    const path = [[bucket.root]]
    let last: Buffer | undefined
    while (path.length > 0) {
      const id = path.at(-1)?.shift()
      if (id === undefined) {
        path.pop()
        continue
      }
      const page = this.#page(id, seen)
      if (page.kind === 'branch') {
        if (path.length === MAX_DEPTH) throw refuse('it is damaged: its tree is too deep')
        path.push([...page.children])
        continue
      }
      last = inOrder(page.entries, last, () => refuse(`it is damaged: page ${id} is out of order`))
      yield page.entries
    }
  }

  #page(id: bigint, seen: Uint8Array) {
    const { refuse } = this.#file
    const { pageSize, pages } = this.#meta
    const where = `it is damaged: page ${id}`
    if (id < 2n || id >= pages) throw refuse(`${where} is not one of its ${pages} pages`)
    const at = Number(id) * pageSize
    const first = this.#file.read(Buffer.allocUnsafeSlow(pageSize), at)
    if (first.length < pageSize) throw refuse(`${where} is cut off`)
    const header = readHeader(first)
    if (header.id !== id) throw refuse(`${where} says that it is page ${header.id}`)
    const last = id + BigInt(header.overflow)
    const bytes = (header.overflow + 1) * pageSize
    if (last >= pages || bytes > MAX_PAGE_BYTES) throw refuse(`${where} is too long`)
    for (let each = Number(id); each <= Number(last); each += 1) {
      const [byte, bit] = [each >> 3, 1 << (each & 7)]
      if (((seen[byte] ?? 0) & bit) !== 0) throw refuse(`${where} is reached twice`)
      seen[byte] = (seen[byte] ?? 0) | bit
    }
    if (header.overflow === 0) return readPage(first, where, refuse)
    const whole = this.#file.read(Buffer.allocUnsafeSlow(bytes), at)
    if (whole.length < bytes) throw refuse(`${where} is cut off`)
    return readPage(whole, where, refuse)
  }
}

/** Answers the last key. */
function inOrder(
  entries: readonly Leaf[],
  before: Buffer | undefined,
  disorder: () => KmsError,
): Buffer | undefined {
  let last = before
  for (const { key } of entries) {
    if (last !== undefined && last.compare(key) >= 0) throw disorder()
    last = key
  }
  return last
}
