import { Buffer } from 'node:buffer'
import { chmod, copyFile, readFile, rm, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { KmsError } from '../../../src/base/errors.ts'
import { addKeyVersion, createKeyFile } from '../../../src/services/local/key_file.ts'
import { createLocalProvider, localConfig } from '../../../src/services/local/provider.ts'
import { RecordedEvents } from '../../_lib/events.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { rejection, suite } from '../../_lib/uvu.ts'
import { providerContract } from '../contract/provider.ts'

const now = () => Date.now()
const call = { signal: new AbortController().signal, deadline: Number.POSITIVE_INFINITY }

async function setup() {
  const folder = await tempFolder()
  const path = folder.at('keys')
  const made = await createKeyFile(path, now)
  const events = new RecordedEvents()
  const config = v.parse(localConfig, { name: 'here', type: 'local', keyFile: path })
  const provider = await createLocalProvider(config, { events })
  return {
    folder,
    path,
    made,
    events,
    config,
    provider,
    secrets: made.keys.map(({ key }) => Buffer.from(key).toString('base64')),
    rotate: async () => {
      await addKeyVersion(path, now)
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
}

const test = suite('services/local/provider', () => ({}))

test('id is the random one of the file, wherever it lies and whatever the name [R8]', async () => {
  await using one = await setup()
  await using folder = await tempFolder()
  await copyFile(one.path, folder.at('moved'))
  const config = { ...one.config, name: 'renamed', keyFile: folder.at('moved') }

  const other = await createLocalProvider(config, { events: one.events })

  assert.is(one.provider.id, `local:${one.made.id}`)
  assert.is(other.id, one.provider.id)
})

test('createLocalProvider() refuses a missing file [F9]', async () => {
  await using one = await setup()
  await rm(one.path)

  const error = await rejection(createLocalProvider(one.config, { events: one.events }))

  assert.is((error as KmsError).code, 'key_unavailable')
})

test('keyState() notices a new version by itself and tells', async () => {
  await using one = await setup()
  await one.rotate()

  const { versions } = await one.provider.keyState(call)

  assert.is(versions.length, 2)
  assert.equal(one.events.notices(), ['key_file_read'])
})

type Damage = (path: string) => Promise<unknown>
const DAMAGES: readonly [string, Damage][] = [
  ['gone', (path) => rm(path)],
  ['readable by others', (path) => chmod(path, 0o644)],
  ['cut off', async (path) => writeFile(path, (await readFile(path)).subarray(0, 99))],
  [
    'another one',
    async (path) => {
      await rm(path)
      await createKeyFile(path, now)
    },
  ],
]
for (const [what, damage] of DAMAGES) {
  test(`keyState() fails when the file is ${what}, and the keys in memory still open [F9 D6]`, async () => {
    await using one = await setup()
    const item = { plaintext: Buffer.from('kept'), associatedData: Buffer.alloc(32) }
    const [wrapped] = await one.provider.wrap('1', [item], call)
    if (wrapped?.ok !== true) throw new Error('Wrapped')

    await damage(one.path)
    const error = await rejection(one.provider.keyState(call))

    assert.instance(error, KmsError)
    assert.is((error as KmsError).code, 'key_unavailable')
    const again = { version: '1', bytes: wrapped.value, associatedData: item.associatedData }
    const [opened] = await one.provider.unwrap([again], call)
    assert.is(opened?.ok, true)
  })
}

test('a version that wrapped too often is told once, and in keyState() until there is a newer one', async () => {
  await using one = await setup()
  const provider = await createLocalProvider(one.config, { events: one.events, wornAfter: 3 })
  const item = { plaintext: new Uint8Array(32), associatedData: new Uint8Array(32) }
  const told = () => one.events.noticesOf('key_worn').map(({ level }) => level)

  await provider.wrap('1', [item, item], call)
  assert.is((await provider.keyState(call)).note, undefined)
  assert.equal(told(), [])
  await provider.wrap('1', [item, item], call)
  assert.match((await provider.keyState(call)).note ?? '', /^version 1 .*--add-version/)
  assert.equal(told(), ['warn'])
  await provider.wrap('1', [item], call)
  assert.equal(told(), ['warn'])

  await one.rotate()
  assert.is((await provider.keyState(call)).note, undefined)
})

test('keyState() refuses a file that lost a version', async () => {
  await using one = await setup()
  await copyFile(one.path, one.folder.at('before'))
  await one.rotate()
  await one.provider.keyState(call)

  await copyFile(one.folder.at('before'), one.path)
  const error = await rejection(one.provider.keyState(call))

  assert.match((error as KmsError).message, /not a continuation/)
})

test.run()
providerContract('local', setup)
