/** Files of etcd's database. Their checksums are made right, since whoever changes a file can do that. @module */

import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { create, toBinary } from '@bufbuild/protobuf'
import { KeyValueSchema } from '../../../src/tools/etcd/range_pb.ts'
import { openSnapshot } from '../../../src/tools/etcd/snapshot.ts'
import { RamFile } from '../engine/ram_file.ts'
import { mutateBytes } from '../mutate/bytes.ts'
import type { Mutator } from '../mutate/mutator.ts'
import { bytesOf, type Surface, type Target } from '../surface.ts'

const PAGE = 1_024
const HEADER = 16
const ELEMENT = 16
const META_BODY = 56
const DIGEST = 32
const BLOCK = 512
/** Of a page, with its first elements. */
const HEAD = 80

const EDGES = [
  0n,
  1n,
  2n,
  3n,
  4n,
  5n,
  16n,
  255n,
  1_024n,
  65_535n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 53n,
  2n ** 64n - 1n,
]

/** Most changes are to the numbers by which pages are found. */
const mutatePage: Mutator = (input, other, random) => {
  if (random.below(4) === 0 || input.length < PAGE) return mutateBytes(input, other, random)
  const bytes = Buffer.from(input)
  const pages = Math.floor(bytes.length / PAGE)
  for (let left = 1 + random.below(3); left > 0; left -= 1) {
    const at = random.below(pages) * PAGE + random.below(HEAD / 2) * 2
    const edge = random.pick(EDGES)
    const size = random.pick([1, 2, 4, 8])
    if (size === 8) bytes.writeBigUInt64LE(edge, Math.min(at, bytes.length - 8))
    else
      bytes.writeUIntLE(
        Number(edge % 2n ** BigInt(8 * size)),
        Math.min(at, bytes.length - size),
        size,
      )
  }
  return bytes
}

export const snapshot: Surface = {
  name: 'snapshot',
  from: 'whoever may write a snapshot, or the folder of etcd',
  files: ['tools/etcd/bolt_', 'tools/etcd/snapshot.ts', 'tools/etcd/raw_file.ts'],
  mutate: mutatePage,
  open(): Promise<Target> {
    const file = new RamFile()
    const run = async (input: Uint8Array) => {
      file.hold(rightened(input))
      await using opened = await openSnapshot(file.path, '/registry')
      let count = 0
      for await (const page of opened.pages()) count += page.length
      if (count !== opened.count) throw new TypeError('Counts otherwise than it reads')
    }
    const database = seed()
    const seeds = [database, Buffer.concat([database, Buffer.alloc(DIGEST)])]
    return Promise.resolve({ seeds, run, [Symbol.asyncDispose]: () => file[Symbol.asyncDispose]() })
  },
}

function rightened(input: Uint8Array): Buffer {
  const bytes = Buffer.from(input)
  for (const at of [HEADER, PAGE + HEADER]) {
    if (bytes.length < at + META_BODY + 8) continue
    bytes.writeBigUInt64LE(fnv1a(bytes.subarray(at, at + META_BODY)), at + META_BODY)
  }
  if (bytes.length % BLOCK !== DIGEST) return bytes
  const end = bytes.length - DIGEST
  createHash('sha256').update(bytes.subarray(0, end)).digest().copy(bytes, end)
  return bytes
}

function fnv1a(bytes: Uint8Array): bigint {
  return bytes.reduce(
    (sum, byte) => BigInt.asUintN(64, (sum ^ BigInt(byte)) * 0x100000001b3n),
    0xcbf29ce484222325n,
  )
}

interface Item {
  readonly key: Buffer
  readonly value: Buffer
  readonly flags?: number
}

/** A database of six pages: a root with two buckets, and a tree of two leaves below one of them. */
function seed(): Buffer {
  const bucket = Buffer.alloc(16)
  bucket.writeBigUInt64LE(3n)
  const compacted = page(
    0n,
    2,
    [{ key: bytesOf('finishedCompactRev'), value: revision(3) }],
    HEADER + 100,
  )
  const root = [
    { key: Buffer.from('key'), value: bucket, flags: 1 },
    { key: Buffer.from('meta'), value: Buffer.concat([Buffer.alloc(16), compacted]), flags: 1 },
  ]
  const changes = [change(4, 'a'), change(5, 'b'), change(6, 'a', true), change(7, 'c')]
  return Buffer.concat([
    ...[0n, 1n].map(meta),
    page(2n, 2, root),
    branch(3n, [4n, 5n]),
    page(4n, 2, changes.slice(0, 2)),
    page(5n, 2, changes.slice(2)),
  ])
}

function meta(transaction: bigint): Buffer {
  const bytes = Buffer.alloc(PAGE)
  bytes.writeBigUInt64LE(transaction)
  bytes.writeUInt16LE(4, 8)
  bytes.writeUInt32LE(0xed0cdaed, HEADER)
  bytes.writeUInt32LE(2, HEADER + 4)
  bytes.writeUInt32LE(PAGE, HEADER + 8)
  bytes.writeBigUInt64LE(2n, HEADER + 16)
  bytes.writeBigUInt64LE(6n, HEADER + 40)
  bytes.writeBigUInt64LE(transaction, HEADER + 48)
  return bytes
}

function page(
  id: bigint,
  flags: number,
  items: readonly (Omit<Item, 'key' | 'value'> & { key: Uint8Array; value: Uint8Array })[],
  size = PAGE,
): Buffer {
  const bytes = Buffer.alloc(size)
  bytes.writeBigUInt64LE(id)
  bytes.writeUInt16LE(flags, 8)
  bytes.writeUInt16LE(items.length, 10)
  let end = HEADER + items.length * ELEMENT
  for (const [at, { key, value, flags: own = 0 }] of items.entries()) {
    const element = HEADER + at * ELEMENT
    for (const [field, number] of [own, end - element, key.length, value.length].entries()) {
      bytes.writeUInt32LE(number, element + 4 * field)
    }
    bytes.set(key, end)
    bytes.set(value, end + key.length)
    end += key.length + value.length
  }
  return bytes
}

function branch(id: bigint, children: readonly bigint[]): Buffer {
  const bytes = page(
    id,
    1,
    children.map(() => ({ key: bytesOf('key'), value: new Uint8Array() })),
  )
  for (const [at, child] of children.entries()) {
    const element = HEADER + at * ELEMENT
    bytes.writeUInt32LE(bytes.readUInt32LE(element + 4), element)
    bytes.writeUInt32LE(3, element + 4)
    bytes.writeBigUInt64LE(child, element + 8)
  }
  return bytes
}

function revision(main: number, deletes = false): Buffer {
  const bytes = Buffer.alloc(deletes ? 18 : 17)
  bytes.writeBigUInt64BE(BigInt(main))
  bytes.write('_', 8)
  if (deletes) bytes.write('t', 17)
  return bytes
}

function change(main: number, name: string, deletes = false) {
  const key = bytesOf(`/registry/secrets/default/${name}`)
  const fields = deletes
    ? { key }
    : { key, value: Buffer.alloc(20, main), modRevision: BigInt(main) }
  const value = toBinary(KeyValueSchema, create(KeyValueSchema, fields))
  return { key: revision(main, deletes), value }
}
