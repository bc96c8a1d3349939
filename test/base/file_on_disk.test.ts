/** Files that are on disk as soon as they are written. @module */

import { execFile } from 'node:child_process'
import { constants, open, readFile, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import { systemCodeOf } from '../../src/base/errors.ts'
import { NEW_ON_DISK } from '../../src/base/file_on_disk.ts'
import { NODE } from '../_lib/plugin/process.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'

const run = promisify(execFile)
const test = suite('base/file_on_disk', () => ({}))

test('NEW_ON_DISK: what is written is on disk at once, and a file that is there stays', async () => {
  await using folder = await tempFolder()
  const file = await open(folder.at('new'), NEW_ON_DISK, 0o600)
  const info = await readFile(`/proc/self/fdinfo/${file.fd}`, 'utf8')
  await file.writeFile('first')
  await file.close()

  const flags = Number.parseInt(/^flags:\s+(\d+)$/m.exec(info)?.[1] ?? '', 8)
  assert.is(flags & constants.O_SYNC, constants.O_SYNC)
  const refused = await rejection(open(folder.at('new'), NEW_ON_DISK, 0o600))
  assert.is(systemCodeOf(refused), 'EEXIST')
  assert.is(await readFile(folder.at('new'), 'utf8'), 'first')
})

const MODULE = new URL('../../src/base/file_on_disk.ts', import.meta.url).href
const PERMISSION = ['--permission', '--allow-fs-read=*', '--allow-fs-write=*']

for (const [where, flags] of [
  ['where folders may be flushed', []],
  ["under Node's permission model", PERMISSION],
] as const) {
  test(`nameOnDisk leaves the content as it is ${where}`, async () => {
    await using folder = await tempFolder()
    const path = folder.at('file')
    for (const content of ['', '{"a":1}']) {
      await writeFile(path, content)
      const script = `await (await import('${MODULE}')).nameOnDisk(${JSON.stringify(path)})`
      await run(NODE, [...flags, '--input-type=module', '--eval', script])
      assert.is(await readFile(path, 'utf8'), content)
    }
  })
}

test.run()
