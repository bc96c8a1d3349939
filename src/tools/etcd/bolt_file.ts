/**
 * Reads a bbolt file page by page, never as a whole, and trusts nothing in it: a page that is
 * reached twice, lies outside the file or is not the one that was asked for is refused.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { META_SEARCH_BYTES, type Meta, readMeta } from './bolt_meta.ts'
import { type Leaf, readHeader, readPage } from './bolt_page.ts'
import type { RawFile } from './raw_file.ts'

/** A bucket's value: root page u64, sequence u64, and the page itself where the root is 0. */
const BUCKET_BYTES = 16
/** Trees of any size are much lower than this. */
const MAX_DEPTH = 32
/**
 * A page with two values of the largest size that etcd can be configured to accept is far smaller.
 */
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
      throw file.refuse(
        `it is truncated: its ${pages} pages of ${pageSize} bytes are not all there`,
      )
    }
  }

  /**
   * The entries of a bucket at the top, in order, a page at a time.
   *
   * @throws KmsError `ciphertext_invalid`
   */
  *bucket(name: string): Generator<readonly Leaf[]> {
    const seen = new PageSet(Number(this.#meta.pages))
    for (const entries of this.#tree(this.#meta.root, seen)) {
      const found = entries.find(({ key, bucket }) => bucket && key.toString() === name)
      if (found === undefined) continue
      yield* this.#content(found.value, seen)
      return
    }
    throw this.#file.refuse(`it is not of etcd: it has no bucket "${name}"`)
  }

  #content(bucket: Buffer, seen: PageSet): Iterable<readonly Leaf[]> {
    const { refuse } = this.#file
    if (bucket.length < BUCKET_BYTES) throw refuse('it is damaged: a bucket is cut off')
    const root = bucket.readBigUInt64LE(0)
    if (root !== 0n) return this.#tree(root, seen)
    const where = 'it is damaged: a small bucket'
    const page = readPage(bucket.subarray(BUCKET_BYTES), where, refuse)
    if (page.kind === 'branch' || !inOrder(page.entries)) throw refuse(`${where} is no leaf`)
    return [page.entries]
  }

  *#tree(root: bigint, seen: PageSet): Generator<readonly Leaf[]> {
    const { refuse } = this.#file
    /** The pages that still have to be read, the next one last. */
    const left = [{ id: root, depth: 1 }]
    let last: Buffer | undefined
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      const { id, depth } = next
      const where = `it is damaged: page ${id}`
      if (depth > MAX_DEPTH) throw refuse(`${where} is too deep in its tree`)
      const page = readPage(this.#bytes(id, where, seen), where, refuse)
      if (page.kind === 'branch') {
        left.push(...page.children.toReversed().map((child) => ({ id: child, depth: depth + 1 })))
        continue
      }
      if (!inOrder(page.entries, last)) throw refuse(`${where} is out of order`)
      last = page.entries.at(-1)?.key ?? last
      yield page.entries
    }
  }

  /** The page with the overflow pages that belong to it. */
  #bytes(id: bigint, where: string, seen: PageSet): Buffer {
    const { refuse } = this.#file
    const { pageSize, pages } = this.#meta
    if (id < 2n || id >= pages) throw refuse(`${where} is not one of its ${pages} pages`)
    const at = Number(id) * pageSize
    const first = this.#read(at, pageSize, where)
    const header = readHeader(first)
    if (header.id !== id) throw refuse(`${where} says that it is page ${header.id}`)
    const count = header.overflow + 1
    const fits = id + BigInt(count) <= pages && count * pageSize <= MAX_PAGE_BYTES
    if (!fits) throw refuse(`${where} is too long`)
    if (!seen.add(Number(id), count)) throw refuse(`${where} is reached twice`)
    return count === 1 ? first : this.#read(at, count * pageSize, where)
  }

  #read(at: number, length: number, where: string): Buffer {
    // The slow variant is right here: what is read must not keep a shared pool in memory.
    const bytes = this.#file.read(Buffer.allocUnsafeSlow(length), at)
    if (bytes.length < length) throw this.#file.refuse(`${where} is cut off`)
    return bytes
  }
}

/** A set of pages, one bit for each. */
class PageSet {
  readonly #bits: Uint8Array

  constructor(pages: number) {
    this.#bits = new Uint8Array(Math.ceil(pages / 8))
  }

  /** False where one of the pages is in the set already. */
  add(first: number, count: number): boolean {
    for (let page = first; page < first + count; page += 1) {
      const [at, bit] = [Math.floor(page / 8), 1 << (page % 8)]
      const byte = this.#bits[at] ?? 0
      if ((byte & bit) !== 0) return false
      this.#bits[at] = byte | bit
    }
    return true
  }
}

function inOrder(entries: readonly Leaf[], before?: Buffer): boolean {
  let last = before
  return entries.every(({ key }) => {
    const ordered = last === undefined || last.compare(key) < 0
    last = key
    return ordered
  })
}
