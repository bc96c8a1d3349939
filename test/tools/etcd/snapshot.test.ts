import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { gunzipSync } from 'node:zlib'
import * as assert from 'uvu/assert'
import { KmsError } from '../../../src/base/errors.ts'
import { openSnapshot } from '../../../src/tools/etcd/snapshot.ts'
import { SeededRandom } from '../../_lib/seeded_random.ts'
import { type TempFolder, tempFolder } from '../../_lib/temp_folder.ts'
import { historyOf } from '../../_lib/tools/etcd_history.ts'
import { rejection, suite } from '../../_lib/uvu.ts'

/** Made by `etcdctl snapshot save` 3.7.3 after test/_lib/tools/etcd_history.ts. */
const SNAPSHOT = gunzipSync(
  await readFile(new URL('../../vectors/etcd_snapshot.db.gz', import.meta.url)),
)
const CHECKSUM_BYTES = 32
const DATABASE = SNAPSHOT.subarray(0, -CHECKSUM_BYTES)
const PAGE_BYTES = 4096
const DAMAGED_FILES = 200

const test = suite('tools/etcd/snapshot', () => ({}))

async function read(file: string, prefix = '/registry') {
  await using snapshot = await openSnapshot(file, prefix)
  const objects = new Map<string, Buffer>()
  for await (const page of snapshot.pages()) {
    for (const { key, value, modRevision } of page) {
      const name = Buffer.from(key).toString()
      assert.not(objects.has(name), `${name} is there twice`)
      assert.ok(modRevision > 0n && modRevision <= snapshot.revision)
      objects.set(name, Buffer.from(value))
    }
  }
  const { verified, revision, count } = snapshot
  return { verified, revision, count, objects }
}

async function readBytes(folder: TempFolder, bytes: Uint8Array) {
  const file = folder.at('file.db')
  await writeFile(file, bytes)
  return await read(file)
}

async function refusalOf(folder: TempFolder, bytes: Uint8Array): Promise<KmsError> {
  const error = await rejection(readBytes(folder, bytes))
  if (!(error instanceof KmsError)) throw error
  assert.is(error.code, 'ciphertext_invalid')
  assert.match(
    error.message,
    /^Cannot read \/.*file\.db: it is .*\. Use another snapshot, or take a new one$/,
  )
  return error
}

/** With the checksum that fits. */
function signed(database: Uint8Array): Buffer {
  return Buffer.concat([database, createHash('sha256').update(database).digest()])
}

/** A copy of the database with something written over it, with the checksum that fits. */
function changed(at: number, bytes: Uint8Array): Buffer {
  const copy = Buffer.from(DATABASE)
  copy.set(bytes, at)
  return signed(copy)
}

/** Pages of the tree of bucket "key", taken apart on their own. */
function treePages(): { branches: number[]; leaves: number[] } {
  const meta = [0, 1].toSorted((a, b) => transaction(b) - transaction(a))[0] ?? 0
  const root = Number(DATABASE.readBigUInt64LE(meta * PAGE_BYTES + 16 + 16))
  const entries = Array.from({ length: DATABASE.readUInt16LE(root * PAGE_BYTES + 10) }, (_, at) => {
    const element = root * PAGE_BYTES + 16 + at * 16
    const key = element + DATABASE.readUInt32LE(element + 4)
    return { key, value: key + DATABASE.readUInt32LE(element + 8) }
  })
  const bucket = entries.find(({ key, value }) => DATABASE.toString('latin1', key, value) === 'key')
  const top = Number(DATABASE.readBigUInt64LE(bucket?.value ?? 0))
  const count = DATABASE.readUInt16LE(top * PAGE_BYTES + 10)
  const leaves = Array.from({ length: count }, (_, at) =>
    Number(DATABASE.readBigUInt64LE(top * PAGE_BYTES + 16 + at * 16 + 8)),
  )
  return { branches: [top], leaves }
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16LE(value)
  return bytes
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

test('openSnapshot() reads what etcd left: the last value of each key that lives, however long, and the revision', async () => {
  await using folder = await tempFolder()
  const { live, revision } = historyOf()
  for (const [bytes, verified] of [
    [SNAPSHOT, true],
    [DATABASE, false],
  ] as const) {
    const found = await readBytes(folder, bytes)
    assert.is(found.verified, verified)
    assert.is(found.revision, revision)
    assert.is(found.count, live.size)
    assert.equal(
      [...found.objects].toSorted(([a], [b]) => (a < b ? -1 : 1)),
      [...live].toSorted(([a], [b]) => (a < b ? -1 : 1)),
    )
  }
})

test('openSnapshot() counts what is below the prefix, to the slash', async () => {
  await using folder = await tempFolder()
  const file = folder.at('file.db')
  await writeFile(file, SNAPSHOT)
  assert.ok((await read(file, '/other')).count > 0)
  for (const prefix of ['/regis', '/registry/secrets/default/number-1', '/none']) {
    assert.is((await read(file, prefix)).count, 0, prefix)
  }
})

test('openSnapshot() refuses a file with a wrong checksum, wherever a byte is another', async () => {
  await using folder = await tempFolder()
  const random = SeededRandom.announced('etcd/snapshot checksum')
  for (let round = 0; round < 30; round += 1) {
    const bytes = Buffer.from(SNAPSHOT)
    const at = random.below(bytes.length)
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8))
    assert.match((await refusalOf(folder, bytes)).message, /SHA-256 checksum is wrong/)
  }
})

test('openSnapshot() refuses a file that is cut off, wherever that is', async () => {
  await using folder = await tempFolder()
  const random = SeededRandom.announced('etcd/snapshot truncation')
  const pages = Array.from(
    { length: 20 },
    () => PAGE_BYTES * random.below(DATABASE.length / PAGE_BYTES),
  )
  const blocks = Array.from({ length: 10 }, () => 512 * random.below(DATABASE.length / 512))
  const anywhere = Array.from({ length: 20 }, () => random.below(SNAPSHOT.length))
  for (const length of [0, 1, 16, 32, 80, 4096, 8192, ...pages, ...blocks, ...anywhere]) {
    await refusalOf(folder, SNAPSHOT.subarray(0, length))
  }
})

test('openSnapshot() of a database without a checksum, or one that was made to fit, is right or refuses: no other error, and it ends', async () => {
  await using folder = await tempFolder()
  const random = SeededRandom.announced('etcd/snapshot damage')
  const { branches, leaves } = treePages()
  const pages = [0, 1, ...branches, ...leaves]
  let refused = 0
  for (let round = 0; round < DAMAGED_FILES; round += 1) {
    const bytes = Buffer.from(DATABASE)
    // Half of them where the numbers are that lead from one place to another.
    const at =
      round % 2 === 0
        ? random.pick(pages) * PAGE_BYTES + random.below(120)
        : random.below(bytes.length)
    bytes[at] = random.below(256)
    try {
      await readBytes(folder, round % 3 === 0 ? signed(bytes) : bytes)
    } catch (error) {
      if (!(error instanceof KmsError)) throw error
      assert.is(error.code, 'ciphertext_invalid')
      refused += 1
    }
  }
  assert.ok(refused > DAMAGED_FILES / 10, `${refused} refused`)
})

const {
  branches: [branch = 0],
  leaves,
} = treePages()
const leaf = leaves.find((id) => DATABASE.readUInt16LE(id * PAGE_BYTES + 10) > 4) ?? 0
/** One that another one follows. */
const long = leaves.find((id) => leaves.includes(id + overflowOf(id) + 1)) ?? 0
const firstLeaf = leaf * PAGE_BYTES
const firstBranch = branch * PAGE_BYTES

for (const [what, at, bytes, wanted] of [
  ['a page that says it is another', firstLeaf, u64(leaf + 1), /says that it is page/],
  ['a page of no known kind', firstLeaf + 8, u16(0x40), /neither branch nor leaf/],
  [
    'a page in the middle of the tree that is a list of free ones',
    firstLeaf + 8,
    u16(0x10),
    /neither branch/,
  ],
  ['more entries than a page can hold', firstLeaf + 10, u16(60_000), /do not fit/],
  ['a branch that leads nowhere', firstBranch + 10, u16(0), /leads nowhere/],
  ['a page that is longer than the file', firstLeaf + 12, u32(0xffff_ffff), /too long/],
  [
    'a page that runs into the next one',
    long * PAGE_BYTES + 12,
    u32(overflowOf(long) + 1),
    /reached twice/,
  ],
  ['an entry that points outside', firstLeaf + 16 + 4, u32(0xffff_fff0), /points outside/],
  ['an entry that points into the list of entries', firstLeaf + 16 + 4, u32(0), /points outside/],
  ['a key of four gigabytes', firstLeaf + 16 + 8, u32(0xffff_ffff), /points outside/],
  ['a value of four gigabytes', firstLeaf + 16 + 12, u32(0xffff_ffff), /points outside/],
  ['a branch to itself', firstBranch + 16 + 8, u64(branch), /reached twice/],
  ['a branch to the first page', firstBranch + 16 + 8, u64(0), /not one of its/],
  ['a branch out of the file', firstBranch + 16 + 8, u64(2 ** 52), /not one of its/],
] as const) {
  test(`openSnapshot() refuses ${what}, though the checksum fits`, async () => {
    await using folder = await tempFolder()
    assert.is(DATABASE.readUInt16LE(firstBranch + 8), 1, 'a branch')
    assert.is(DATABASE.readUInt16LE(firstLeaf + 8), 2, 'a leaf')
    assert.match((await refusalOf(folder, changed(at, bytes))).message, wanted)
  })
}

test('openSnapshot() refuses entries that are out of order', async () => {
  await using folder = await tempFolder()
  const entry = (index: number) =>
    DATABASE.subarray(firstLeaf + 16 + index * 16, firstLeaf + 32 + index * 16)
  const swapped = Buffer.concat([entry(1), entry(0)])
  // Positions count from the entry's own place.
  swapped.writeUInt32LE(swapped.readUInt32LE(4) + 16, 4)
  swapped.writeUInt32LE(swapped.readUInt32LE(20) - 16, 20)
  const { message } = await refusalOf(folder, changed(firstLeaf + 16, swapped))
  assert.match(message, /out of order/)
})

test('openSnapshot() takes the older meta page where the newer one is damaged, and refuses when both are', async () => {
  await using folder = await tempFolder()
  const newest = [0, 1].toSorted((a, b) => transaction(b) - transaction(a))
  const one = Buffer.from(DATABASE)
  one[(newest[0] ?? 0) * PAGE_BYTES + 16 + 40] = 0xff
  assert.is((await readBytes(folder, one)).count, historyOf().live.size)
  one[(newest[1] ?? 0) * PAGE_BYTES + 16 + 40] = 0xff
  assert.match((await refusalOf(folder, one)).message, /both of its meta pages/)
})

test('openSnapshot() says of another file that it is none of etcd', async () => {
  await using folder = await tempFolder()
  assert.match((await refusalOf(folder, Buffer.alloc(8192, 1))).message, /not a snapshot of etcd/)
  assert.match((await refusalOf(folder, signed(Buffer.alloc(8192)))).message, /not a snapshot/)
  assert.match((await refusalOf(folder, new Uint8Array())).message, /is empty/)
})

test('openSnapshot() says which file cannot be opened', async () => {
  await using folder = await tempFolder()
  await mkdir(folder.at('folder'))
  for (const name of ['none', 'folder']) {
    const error = await rejection(openSnapshot(folder.at(name), '/registry'))
    assert.ok(error instanceof KmsError && error.code === 'request_invalid')
    assert.match(error.message, `Cannot open ${folder.at(name)}: `)
  }
})

function overflowOf(page: number): number {
  return DATABASE.readUInt32LE(page * PAGE_BYTES + 12)
}

function transaction(page: number): number {
  return Number(DATABASE.readBigUInt64LE(page * PAGE_BYTES + 16 + 48))
}

test.run()
