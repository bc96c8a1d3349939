/**
 * The config changed under a running plugin, in every way that a file changes, while a
 * client asks without pause: what can be used is used, and what cannot is refused.
 *
 * @module
 */

import process from 'node:process'
import * as assert from 'uvu/assert'
import { changeConfig, changeText, outcomeOf, type Way } from '../_lib/plugin/config_change.ts'
import { KmsLoad } from '../_lib/plugin/kms_load.ts'
import { type PluginProcess, startPluginProcess } from '../_lib/plugin/process.ts'
import { rolesOf, statuszOf } from '../_lib/plugin/statusz_page.ts'
import { type KeyServices, startKeyServices } from '../_lib/services/key_services.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

type Config = Readonly<Record<string, unknown>>

const KINDS = ['status', 'encrypt_v2', 'encrypt_v1', 'decrypt_v2', 'decrypt_v1'] as const
const TRIED = 20

const test = suite('e2e/reload', () => ({}))

interface Bed extends AsyncDisposable {
  readonly services: KeyServices
  readonly plugin: PluginProcess
  readonly load: KmsLoad
  /** With these providers and whatever else. */
  config(providers: readonly Config[], extra?: Config): Config
  keyId(): Promise<string>
}

/** One that serves with provider `a` alone, under load. */
async function setup(): Promise<Bed> {
  const services = await startKeyServices()
  const admin = { listen: `unix://${services.folder.at('admin.sock')}` }
  const config = (providers: readonly Config[], extra: Config = {}) => ({
    providers,
    protection: { mode: 'any', holdTime: '2s', returnTime: '3s' },
    health: { interval: '1s' },
    admin,
    ...extra,
  })
  const plugin = await startPluginProcess({
    folder: services.folder.path,
    config: config([services.a.provider]),
  })
  const keyId = () => plugin.client.v2.status().then((status) => status.keyId)
  await until('the plugin is healthy', () => keyId().catch(() => undefined))
  const load = new KmsLoad(plugin.socketPath)
  return {
    services,
    plugin,
    load,
    config,
    keyId,
    async [Symbol.asyncDispose]() {
      await load[Symbol.asyncDispose]()
      await plugin[Symbol.asyncDispose]()
      await services[Symbol.asyncDispose]()
    },
  }
}

/** Waits until the load has gone on for a while, and then nothing may have failed, ever. */
async function nothingFails(load: KmsLoad): Promise<void> {
  const since = performance.now()
  await until('the load goes on', () => KINDS.every((kind) => load.of(kind, since).length >= TRIED))
  for (const kind of KINDS) assert.equal(load.failures(kind), [], kind)
  assert.equal(load.wrong, [])
}

test('a changed config is in force soon, whether it was changed in place, by a rename or by a link, and at once on SIGHUP, and no request fails', async () => {
  await using bed = await setup()
  const { services, plugin, load, config, keyId } = bed
  const { a, b, local } = services
  const keyIds = [await keyId()]
  const readOnly = { ...a.provider, decryptOnly: true }
  const others = [b, local].map(({ provider }) => ({ ...provider, decryptOnly: true }))
  const steps: readonly (readonly [Way, readonly Config[]])[] = [
    ['in place', [a.provider, b.provider]],
    ['rename', [a.provider, b.provider, local.provider]],
    ['link', [readOnly, b.provider, local.provider]],
    ['link', [a.provider, b.provider, local.provider]],
  ]

  for (const [way, providers] of steps) {
    await outcomeOf(plugin, 'config_reloaded', () => changeConfig(plugin, config(providers), way))
    const roles = providers.map((each) => [each['name'], each === readOnly ? 'reads' : 'writes'])
    const page = await statuszOf(services.folder.at('admin.sock'))
    assert.equal(rolesOf(page), Object.fromEntries(roles), way)
    assert.is.not(await keyId(), keyIds.at(-1), way)
    keyIds.push(await keyId())
  }
  await nothingFails(load)
  assert.is(keyIds[4], keyIds[2], 'one config has one key id')

  const hup = () => void process.kill(plugin.pid, 'SIGHUP')
  await outcomeOf(plugin, 'config_unchanged', hup)
  await outcomeOf(plugin, 'config_reloaded', async () => {
    await changeConfig(plugin, config([a.provider, ...others]), 'in place')
    hup()
  })
  assert.is(await keyId(), keyIds[0])
  await nothingFails(load)
  assert.equal(plugin.events('config_refused'), [])
})

test('a config that cannot be used is refused with what is wrong with it, and the old one stays in force', async () => {
  await using bed = await setup()
  const { services, plugin, load, config, keyId } = bed
  const { a, b } = services
  const first = await keyId()
  const refused: readonly (readonly [what: string, message: RegExp, text: Config | string])[] = [
    ['text', /config\.json:\d+:\d+: not valid YAML/, '{"apiVersion": "trousseau.io/v1", '],
    ['unknown key', /protecton: is not a known key/, config([a.provider], { protecton: 'any' })],
    [
      'too few',
      /protection\.k: wanted at most 1/,
      config([a.provider], { protection: { mode: 'threshold', k: 2 } }),
    ],
    [
      'changed id',
      /"a" would be another key, with the id "bao:new" instead of "bao:a": give the new key a new name/,
      config([{ ...a.provider, id: 'bao:new' }]),
    ],
    [
      'one id twice',
      /"a" and "b" both have the id|the id "bao:a" is there twice/,
      config([a.provider, { ...b.provider, id: 'bao:a' }]),
    ],
    [
      'socket',
      /socket: changes only with a restart/,
      config([a.provider], { socket: { path: services.folder.at('other.sock') } }),
    ],
    [
      'admin',
      /admin: changes only with a restart/,
      config([a.provider], { admin: { listen: '127.0.0.1:0' } }),
    ],
    [
      'traces',
      /traces: changes only with a restart/,
      config([a.provider], { traces: { endpoint: 'http://127.0.0.1:4318' } }),
    ],
    [
      'no key file',
      /Cannot read key file .*there is no such file or folder/,
      config([a.provider, { name: 'gone', type: 'local', keyFile: services.folder.at('gone') }]),
    ],
  ]

  for (const [what, message, text] of refused) {
    const said = await outcomeOf(plugin, 'config_refused', () =>
      typeof text === 'string' ? changeText(plugin, text) : changeConfig(plugin, text),
    )
    assert.match(said, /^The changed config is refused, the one before stays in force/, what)
    assert.match(said, message, what)
    assert.is(await keyId(), first, what)
  }
  await nothingFails(load)
  assert.equal(plugin.events('config_reloaded'), [])

  await outcomeOf(plugin, 'config_reloaded', () =>
    changeConfig(plugin, config([a.provider, b.provider])),
  )
  assert.is.not(await keyId(), first)
  await nothingFails(load)
})

test('a config whose providers are away is refused for now, and in force once they are there', async () => {
  await using bed = await setup()
  const { services, plugin, load, config, keyId } = bed
  const { a, b } = services
  const first = await keyId()
  await b.stop('stopped')

  const said = await outcomeOf(plugin, 'config_refused', () =>
    changeConfig(plugin, config([{ ...a.provider, decryptOnly: true }, b.provider])),
  )

  assert.match(said, /With this config default could write nothing now: "b": /)
  assert.is(await keyId(), first)
  await b.start()
  await outcomeOf(plugin, 'config_reloaded', () => void process.kill(plugin.pid, 'SIGHUP'))
  assert.is.not(await keyId(), first)
  await nothingFails(load)
})

test.run()
