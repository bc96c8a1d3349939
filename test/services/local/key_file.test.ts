import { Buffer } from 'node:buffer'
import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { KmsError } from '../../../src/base/errors.ts'
import { addKeyVersion, createKeyFile, readKeyFile } from '../../../src/services/local/key_file.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { rejection, suite } from '../../_lib/uvu.ts'

const test = suite('services/local/key_file', () => ({}))
const now = () => 1_800_000_000_123

async function failureOf(promise: Promise<unknown>): Promise<KmsError> {
  const error = await rejection(promise)
  assert.instance(error, KmsError)
  return error as KmsError
}

test('createKeyFile() makes one version, readable by its owner alone', async () => {
  await using folder = await tempFolder()
  const path = folder.at('keys')

  const made = await createKeyFile(path, now)

  const { keys } = await readKeyFile(path)
  assert.is(keys.id, made.id)
  assert.equal(
    keys.keys.map(({ version, createdAt, key }) => [version, createdAt, key.length]),
    [[1, 1_800_000_000, 32]],
  )
  assert.is((await stat(path)).mode & 0o777, 0o600)
  assert.equal(await readdir(folder.path), ['keys'])
})

test('createKeyFile() leaves a file that exists as it is, whatever it holds [F9]', async () => {
  await using folder = await tempFolder()
  const path = folder.at('keys')
  await writeFile(path, 'precious')

  const error = await failureOf(createKeyFile(path, now))

  assert.is(error.code, 'request_invalid')
  assert.is(await readFile(path, 'utf8'), 'precious')
  assert.equal(await readdir(folder.path), ['keys'])
})

test('createKeyFile() of several at once makes one', async () => {
  await using folder = await tempFolder()
  const path = folder.at('keys')

  const results = await Promise.allSettled(
    Array.from({ length: 8 }, () => createKeyFile(path, now)),
  )

  assert.is(results.filter(({ status }) => status === 'fulfilled').length, 1)
  await readKeyFile(path)
})

test('createKeyFile() names a missing folder', async () => {
  await using folder = await tempFolder()

  const error = await failureOf(createKeyFile(folder.at('none/keys'), now))

  assert.match(error.message, /there is no such file or folder; .*folder ".*none" exists/)
})

test('addKeyVersion() keeps id and older versions', async () => {
  await using folder = await tempFolder()
  const path = folder.at('keys')
  const before = await createKeyFile(path, now)

  await addKeyVersion(path, () => now() + 60_000)

  const { keys } = await readKeyFile(path)
  assert.is(keys.id, before.id)
  assert.equal(keys.keys[0], before.keys[0])
  assert.is(keys.keys[1]?.createdAt, 1_800_000_060)
  assert.is.not(
    Buffer.from(keys.keys[1]?.key ?? []).toString('hex'),
    Buffer.from(keys.keys[0]?.key ?? []).toString('hex'),
  )
  assert.is((await stat(path)).mode & 0o777, 0o600)
  assert.equal(await readdir(folder.path), ['keys'])
})

test('addKeyVersion() follows a symbolic link to the file itself', async () => {
  await using folder = await tempFolder()
  await createKeyFile(folder.at('real'), now)
  await symlink('real', folder.at('keys'))

  await addKeyVersion(folder.at('keys'), now)

  assert.is((await readKeyFile(folder.at('real'))).keys.keys.length, 2)
})

for (const mode of [0o640, 0o604, 0o660, 0o777]) {
  test(`readKeyFile() refuses mode ${mode.toString(8)}`, async () => {
    await using folder = await tempFolder()
    const path = folder.at('keys')
    await createKeyFile(path, now)
    await chmod(path, mode)

    const error = await failureOf(readKeyFile(path))

    assert.is(error.code, 'key_unavailable')
    assert.match(error.message, /wanted 0600/)
  })
}

test('readKeyFile() takes mode 0400', async () => {
  await using folder = await tempFolder()
  const path = folder.at('keys')
  await createKeyFile(path, now)
  await chmod(path, 0o400)

  assert.is((await readKeyFile(path)).keys.keys.length, 1)
})

test('readKeyFile() finds every changed byte of id, versions, times and keys [F9]', async () => {
  await using folder = await tempFolder()
  const path = folder.at('keys')
  await createKeyFile(path, now)
  const text = await readFile(path, 'utf8')
  const places = [...text.matchAll(/[\w+/]/g)].map(({ index }) => index)

  for (const at of places) {
    const other = text[at] === '2' ? '3' : '2'
    await writeFile(path, text.slice(0, at) + other + text.slice(at + 1))
    const error = await failureOf(readKeyFile(path))
    assert.is(error.code, 'key_unavailable', `byte ${at}`)
  }
})

test('readKeyFile() never shows a part of a damaged file', async () => {
  await using folder = await tempFolder()
  const path = folder.at('keys')
  await writeFile(path, '{"kind": hunter2-planted', { mode: 0o600 })

  const error = await failureOf(readKeyFile(path))

  assert.not.match(`${error.message} ${String(error.cause)} ${error.stack}`, /hunter2|planted/)
})

test('readKeyFile() refuses a missing file with the way out, and a folder', async () => {
  await using folder = await tempFolder()
  await mkdir(folder.at('folder'), { mode: 0o700 })

  assert.match((await failureOf(readKeyFile(folder.at('none')))).message, /trousseau keygen/)
  assert.match((await failureOf(readKeyFile(folder.at('folder')))).message, /is not a file/)
})

test.run()
