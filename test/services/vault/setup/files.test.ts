import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { KmsError } from '../../../../src/base/errors.ts'
import { placeOf, writeNewSecret } from '../../../../src/services/vault/setup/files.ts'
import { tempFolder } from '../../../_lib/temp_folder.ts'
import { rejection, suite } from '../../../_lib/uvu.ts'

const test = suite('services/vault/setup/files', () => ({}))
const secret = () => Promise.resolve('secret')

test('writeNewSecret() writes one line for the owner alone', async () => {
  await using folder = await tempFolder()

  await writeNewSecret(folder.at('file'), secret)

  assert.is(await readFile(folder.at('file'), 'utf8'), 'secret\n')
  assert.is((await stat(folder.at('file'))).mode & 0o777, 0o600)
  assert.equal(await readdir(folder.path), ['file'])
})

test('writeNewSecret() never overwrites, even what came in the meantime', async () => {
  await using folder = await tempFolder()
  const write = writeNewSecret(folder.at('file'), async () => {
    await writeFile(folder.at('file'), 'of somebody else')
    return 'secret'
  })

  const error = (await rejection(write)) as KmsError

  assert.is(error.code, 'unavailable')
  assert.match(error.message, /^Cannot write ".*\/file": it is there already/)
  assert.is(await readFile(folder.at('file'), 'utf8'), 'of somebody else')
  assert.equal(await readdir(folder.path), ['file'])
})

test('writeNewSecret() leaves nothing where there is no secret to be had', async () => {
  await using folder = await tempFolder()
  const refused = new KmsError('No', { code: 'denied' })

  const error = await rejection(writeNewSecret(folder.at('file'), () => Promise.reject(refused)))

  assert.is(error, refused)
  assert.equal(await readdir(folder.path), [])
})

test('placeOf() tells of a folder that takes no files', async () => {
  await using folder = await tempFolder()
  await writeFile(folder.at('file'), '')
  await symlink(folder.at('nowhere'), folder.at('link'))

  assert.is(await placeOf(folder.at('secret')), 'free')
  assert.is(await placeOf(folder.at('none/secret')), 'no folder')
  assert.is(await placeOf(folder.at('file/secret')), 'shut')
  assert.is(await placeOf(folder.at('link/secret')), 'shut')
})

test('writeNewSecret() asks for no secret that it could not keep', async () => {
  await using folder = await tempFolder()
  let asked = false

  const error = await rejection(
    writeNewSecret(folder.at('none/file'), () => {
      asked = true
      return secret()
    }),
  )

  assert.is((error as KmsError).code, 'unavailable')
  assert.not.ok(asked)
})

test('placeOf() tells a file, a link that leads nowhere, a free place, and a missing folder', async () => {
  await using folder = await tempFolder()
  await mkdir(folder.at('sub'))
  await symlink('/none/at/all', folder.at('link'))

  assert.is(await placeOf(folder.at('sub')), 'taken')
  assert.is(await placeOf(folder.at('link')), 'taken')
  assert.is(await placeOf(folder.at('sub/file')), 'free')
  assert.is(await placeOf(folder.at('none/file')), 'no folder')
})

test.run()
