/** Compressed layers are kept, and nothing that was kept is believed unseen. @module */

import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { readdir, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { type Compression, compressed, GZIP, ZSTD } from '../../build/compress.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const CONTENT = Buffer.from('a layer\n'.repeat(10_000))

const test = suite('build/compress', () => ({}))

/** The same, and how often it had to work. */
function counted(way: Compression): Compression & { readonly times: number } {
  let times = 0
  return {
    ...way,
    get times() {
      return times
    },
    compress(content) {
      times += 1
      return way.compress(content)
    },
  }
}

async function pathsIn(folder: TempFolder): Promise<string[]> {
  return (await readdir(folder.path)).map((name) => join(folder.path, name))
}

for (const way of [GZIP, ZSTD]) {
  test(`${way.kind}: the same content is compressed once, to the same bytes`, async () => {
    await using folder = await tempFolder()
    const own = counted(way)
    const first = await compressed(CONTENT, own, folder.path)
    const second = await compressed(Buffer.from(CONTENT), own, folder.path)

    assert.equal(second, first)
    assert.equal(first, await way.compress(CONTENT))
    assert.equal(await way.expand(first), CONTENT)
    assert.is(own.times, 1)
  })
}

for (const [what, bytes] of [
  ['is damaged', Buffer.from('no such thing')],
  ['unpacks to something else', await GZIP.compress(Buffer.from('another layer'))],
] as const) {
  test(`what was kept and ${what} is made again`, async () => {
    await using folder = await tempFolder()
    const own = counted(GZIP)
    const first = await compressed(CONTENT, own, folder.path)
    for (const path of await pathsIn(folder)) await writeFile(path, bytes)

    assert.equal(await compressed(CONTENT, own, folder.path), first)
    assert.equal(await compressed(CONTENT, own, folder.path), first)
    assert.is(own.times, 2)
  })
}

test('another library or level does not get the bytes of this one', async () => {
  await using folder = await tempFolder()
  const other = counted({ ...GZIP, by: 'zlib-0-1' })
  await compressed(CONTENT, GZIP, folder.path)
  await compressed(CONTENT, other, folder.path)

  assert.is(other.times, 1)
})

test('what was not used for longest goes', async () => {
  await using folder = await tempFolder()
  const own = counted(GZIP)
  await compressed(CONTENT, own, folder.path)
  const [old = ''] = await pathsIn(folder)
  await utimes(old, 1, 1)
  for (let turn = 0; turn < 40; turn += 1) {
    await compressed(randomBytes(100), own, folder.path)
    // It is used in each turn.
    if (turn < 20) await compressed(CONTENT, own, folder.path)
  }
  assert.is((await pathsIn(folder)).length, 16)
  assert.is(own.times, 41)
  await compressed(CONTENT, own, folder.path)
  assert.is(own.times, 42, 'it was not used in the last twenty turns')
})

test.run()
