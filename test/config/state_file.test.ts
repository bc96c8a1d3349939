import { execFileSync } from 'node:child_process'
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import process from 'node:process'
import * as assert from 'uvu/assert'
import { createStateFile } from '../../src/config/state_file.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const STATE = {
  endpoints: [
    {
      name: 'default',
      keyId: 'tr1-any-v3-x',
      members: [{ providerId: 'vault:transit/k', version: '3', createdAt: 1_800_000_000 }],
      out: ['vault:transit/l'],
      lastSuccess: 1_800_000_000_500,
    },
  ],
  seen: [{ providerId: 'vault:transit/k', versions: [{ label: '3', createdAt: 1_800_000_000 }] }],
}

const test = suite('config/state_file', () => ({}))

test('load() gives back what save() wrote, in a folder it makes with mode 0700', async () => {
  await using folder = await tempFolder()
  const store = createStateFile(folder.at('state'))

  await store.save(STATE)

  const { endpoints, seen } = (await store.load()) ?? {}
  assert.equal({ endpoints, seen }, STATE)
  assert.is((await stat(folder.at('state'))).mode & 0o777, 0o700)
  assert.is((await stat(folder.at('state/state.json'))).mode & 0o777, 0o600)
  assert.equal(await readdir(folder.at('state')), ['state.json'])
})

test('load() takes a missing, damaged or foreign file for none', async () => {
  await using folder = await tempFolder()
  const store = createStateFile(folder.path)
  assert.is(await store.load(), undefined)

  await store.save(STATE)
  const text = await readFile(folder.at('state.json'), 'utf8')
  for (const bad of ['', '{', '[]', text.slice(0, -9), text.replace('"format":2', '"format":3')]) {
    await writeFile(folder.at('state.json'), bad)
    assert.is(await store.load(), undefined)
  }
})

test('save() that fails leaves the state before it, and no draft', async () => {
  await using folder = await tempFolder()
  await mkdir(folder.at('state.json/occupied'), { recursive: true })
  const store = createStateFile(folder.path)

  await rejection(store.save(STATE))

  assert.equal(await readdir(folder.path), ['state.json'])
})

test('load() says in words that the folder can never be made, and asks no more than once', async () => {
  const store = createStateFile('/proc/no-such/state')

  for (const refused of [() => store.load(), () => store.save(STATE)]) {
    const { message } = (await rejection(refused())) as Error
    assert.is(
      message,
      'stateDir /proc/no-such/state cannot be made: there is no such file or folder',
    )
  }
  assert.not.ok(store.stuck())
})

test('load() gives back what a folder holds that cannot be written to any more', async () => {
  await using folder = await tempFolder()
  const store = createStateFile(folder.path)
  await store.save(STATE)
  await chmod(folder.at('state.json'), 0o444)
  await chmod(folder.path, 0o555)

  const [refused, loaded] = await asNobody(async () => [
    await rejection(store.save(STATE)),
    await store.load(),
  ])

  assert.match((refused as Error).message, /^stateDir .* cannot be written to: permission denied$/)
  assert.equal((loaded as typeof STATE).endpoints, STATE.endpoints)
})

/** Root may write everywhere. */
async function asNobody<T>(run: () => Promise<T>): Promise<T> {
  const user = process.geteuid?.() ?? 1
  if (user === 0) process.seteuid?.(65_534)
  try {
    return await run()
  } finally {
    if (user === 0) process.seteuid?.(0)
  }
}

test('load() and save() end where the file system does not answer, wait for it once, and go on after it', async () => {
  await using folder = await tempFolder()
  execFileSync('mkfifo', [folder.at('state.json')])
  const store = createStateFile(folder.path, { limitMs: 50 })

  for (const refused of [() => store.load(), () => store.save(STATE), () => store.save(STATE)]) {
    const error = await rejection(refused())
    assert.match((error as Error).message, /cannot be used: the file system has not answered/)
    assert.ok(store.stuck())
  }
  // None of the saves was begun, so that no more than one thread is held.
  assert.equal(await readdir(folder.path), ['state.json'])

  await writeFile(folder.at('state.json'), '')
  await until('it is free again', () => !store.stuck())
  await store.save(STATE)
  assert.is((await store.load())?.endpoints[0]?.keyId, STATE.endpoints[0]?.keyId)
})

test.run()
