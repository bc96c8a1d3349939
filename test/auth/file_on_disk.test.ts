/** Files that are on disk as soon as they are written. @module */

import { constants, open, readFile, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { NEW_ON_DISK, nameOnDisk } from '../../src/auth/file_on_disk.ts'
import { systemCodeOf } from '../../src/kms/errors.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'

const test = suite('auth/file_on_disk', () => ({}))

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

test('nameOnDisk leaves the content as it is, and makes no file', async () => {
  await using folder = await tempFolder()
  for (const content of ['', '{"a":1}']) {
    await writeFile(folder.at('file'), content)
    await nameOnDisk(folder.at('file'))
    assert.is(await readFile(folder.at('file'), 'utf8'), content)
  }
  assert.is(systemCodeOf(await rejection(nameOnDisk(folder.at('none')))), 'ENOENT')
})

test.run()
