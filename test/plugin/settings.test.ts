/**
 * Settings that two key services keep for one plugin: each provider has its own, and
 * what is for the whole process comes from the first of them alone.
 *
 * @module
 */

import * as assert from 'uvu/assert'
import { parseConfig } from '../../src/config/load.ts'
import { type Plugin, startPlugin } from '../../src/plugin/plugin.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { type FakeVault, startFakeVault } from '../_lib/services/vault/fake.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const test = suite('plugin/settings', () => ({}))

const NAMES = ['a', 'b'] as const
type Name = (typeof NAMES)[number]
type Settings = Readonly<Record<string, string>>

interface Bed extends AsyncDisposable {
  readonly plugin: Plugin
  readonly events: RecordedEvents
  /** Levels that the log was set to, in their order. */
  readonly levels: (string | undefined)[]
  readonly vaults: Readonly<Record<Name, FakeVault>>
  config(...names: readonly Name[]): ReturnType<typeof parseConfig>
  put(name: Name, settings: Settings): void
}

/** Both have settings where they are named, in the order of the config. */
async function setup(folder: TempFolder, before: Readonly<Record<Name, Settings>>): Promise<Bed> {
  const vaults = { a: await startFakeVault(), b: await startFakeVault() }
  const put = (name: Name, settings: Settings) =>
    vaults[name].putSecret(2, { mount: 'kv', path: 'trousseau' }, settings)
  const providers = new Map<Name, object>()
  for (const name of NAMES) {
    const role = await vaults[name].setupApprole(folder.path, { key: `key-${name}` })
    role.rules.set('kv/data/trousseau', ['read'])
    put(name, before[name])
    const settingsFrom = { mount: 'kv', path: 'trousseau' }
    const own = { name, type: 'vault', allowInsecureHttp: true, ...role.provider, settingsFrom }
    providers.set(name, own)
  }
  const config = (...names: readonly Name[]) =>
    parseConfig(
      {
        apiVersion: 'trousseau.io/v1',
        kind: 'TrousseauConfig',
        socket: { path: folder.at('kms.sock') },
        health: { interval: '100ms', staleAfter: '500ms' },
        providers: names.map((name) => providers.get(name)),
      },
      'test',
    )
  const events = new RecordedEvents()
  const levels: (string | undefined)[] = []
  const log = {
    emit: (event: Parameters<RecordedEvents['emit']>[0]) => events.emit(event),
    setLevel: (level: string | undefined) => void levels.push(level),
  }
  const plugin = await startPlugin(config('a', 'b'), log)
  await plugin.asked
  return {
    plugin,
    events,
    levels,
    vaults,
    config,
    put,
    async [Symbol.asyncDispose]() {
      await plugin.close()
      for (const name of NAMES) await vaults[name][Symbol.asyncDispose]()
    },
  }
}

const messagesOf = ({ events }: Bed, what: string) =>
  events
    .of('notice')
    .filter((notice) => notice.what === what)
    .map(({ message }) => message)

/** Until settings of a provider have been read as they are now. */
async function read(bed: Bed, name: Name, settings: Settings): Promise<void> {
  const before = messagesOf(bed, 'settings_changed').length
  bed.put(name, settings)
  await until('they are read', () => messagesOf(bed, 'settings_changed').length > before)
}

test("logLevel of the first provider with settings stays in force, whatever the other one's hold and whoever answers last", async () => {
  await using folder = await tempFolder()
  await using bed = await setup(folder, { a: { logLevel: 'debug' }, b: {} })
  assert.is(bed.levels.at(-1), 'debug')

  await read(bed, 'b', { outageHold: '1h', activationDelay: '2m' })
  assert.is(bed.levels.at(-1), 'debug')
  await read(bed, 'b', { logLevel: 'error' })
  assert.is(bed.levels.at(-1), 'debug')
  await read(bed, 'a', { logLevel: 'warn' })
  assert.is(bed.levels.at(-1), 'warn')
  await read(bed, 'a', {})
  assert.is(bed.levels.at(-1), 'info', 'as the config says')
})

test('what another provider holds for the whole process is told as not in force, once, with the way out', async () => {
  await using folder = await tempFolder()
  await using bed = await setup(folder, { a: {}, b: {} })

  await read(bed, 'b', { outageHold: '1h', logLevel: 'error' })
  await read(bed, 'a', { logLevel: 'debug' })

  assert.equal(messagesOf(bed, 'settings_ignored'), [
    'Settings of provider "b" hold logLevel and outageHold, which is not in force: it is for the whole process and comes from provider "a", the first in the config with settingsFrom. Take it out there, or put the providers into another order',
  ])
  for (const message of messagesOf(bed, 'settings_changed')) assert.not.match(message, /in force/)
})

test('activationDelay of a provider is for its own key alone', async () => {
  await using folder = await tempFolder()
  await using bed = await setup(folder, {
    a: { activationDelay: '0s' },
    b: { activationDelay: '1h' },
  })
  for (const name of NAMES) bed.vaults[name].rotate({ key: `key-${name}` })

  const seen = await until('both rotations are seen', () => {
    const providers = bed.events.of('health').at(-1)?.providers ?? []
    return providers.every(({ versions }) => versions === 2) && providers
  })

  assert.equal(
    seen.map(({ name, activeVersion, pendingVersion }) => [name, activeVersion, pendingVersion]),
    [
      ['a', '2', undefined],
      ['b', '1', '2'],
    ],
  )
})

test('outageHold is that of the first provider with settings', async () => {
  await using folder = await tempFolder()
  await using bed = await setup(folder, { a: { outageHold: '2h' }, b: {} })
  await read(bed, 'b', { outageHold: '0s' })

  for (const name of NAMES) await bed.vaults[name].node(0).stop()

  const held = await until('it is held', () =>
    bed.events.of('health').find(({ state }) => state === 'held'),
  )
  assert.ok((held.holdLeftMs ?? 0) > 3_600_000, String(held.holdLeftMs))
})

test('apply() puts the settings of what the new config has first in force, and forgets those of what it has not', async () => {
  await using folder = await tempFolder()
  await using bed = await setup(folder, { a: { logLevel: 'debug' }, b: { logLevel: 'error' } })
  assert.is(bed.levels.at(-1), 'debug')

  await bed.plugin.apply(bed.config('b', 'a'))
  assert.is(bed.levels.at(-1), 'error')
  await bed.plugin.apply(bed.config('a'))
  assert.is(bed.levels.at(-1), 'debug')
  assert.match(messagesOf(bed, 'settings_ignored').at(-1) ?? '', /^Settings of provider "a" hold/)
})

test('settings that are read while a new config is tried are in force once it is', async () => {
  await using folder = await tempFolder()
  await using bed = await setup(folder, { a: {}, b: {} })
  await bed.plugin.apply(bed.config('a'))
  bed.put('b', { outageHold: '2h' })

  await bed.plugin.apply(bed.config('b'))
  await bed.vaults.b.node(0).stop()

  const held = await until('it is held', () =>
    bed.events.of('health').find(({ state }) => state === 'held'),
  )
  assert.ok((held.holdLeftMs ?? 0) > 3_600_000, String(held.holdLeftMs))
})

test.run()
