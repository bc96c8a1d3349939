/**
 * Settings in Vault's key-value store, with the bundle and the real OpenBao: read at
 * the start, followed when they change, and never able to swap the key.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import * as assert from 'uvu/assert'
import { policyText } from '../../src/services/vault/setup/policy.ts'
import { type PluginProcess, startPluginProcess } from '../_lib/plugin/process.ts'
import { type OpenBao, startOpenBao } from '../_lib/services/vault/openbao.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const test = suite('e2e/vault_settings', () => ({}))

async function roundTrip({ client }: PluginProcess): Promise<void> {
  const plaintext = randomBytes(32)
  const made = await client.v2.encrypt({ plaintext, uid: 'settings' })
  const opened = await client.v2.decrypt({ ...made, uid: 'settings' })
  assert.equal([...opened.plaintext], [...plaintext])
}

async function healthy({ client }: PluginProcess): Promise<void> {
  await until('it is healthy', () =>
    client.v2.status().then(
      ({ healthz }) => healthz === 'ok',
      () => false,
    ),
  )
}

async function setup(folder: TempFolder, bao: OpenBao, version: 1 | 2) {
  const transit = await bao.setupTransit({ folder: folder.path })
  const settingsFrom = { mount: 'kv', path: 'trousseau/prod', version }
  await bao.request('POST', 'sys/mounts/kv', { type: 'kv', options: { version: String(version) } })
  const policy = policyText({ mount: transit.mount, key: transit.key, settingsFrom })
  await bao.request('POST', `sys/policies/acl/${transit.policy}`, { policy })
  const put = async (settings: object) => {
    const [path, body] =
      version === 2
        ? ['kv/data/trousseau/prod', { data: settings }]
        : ['kv/trousseau/prod', settings]
    await until('the engine takes it', () =>
      bao.request('POST', path as string, body as object).then(
        () => true,
        () => false,
      ),
    )
  }
  const { key: _key, mount: _mount, ...rest } = transit.provider
  const common = { type: 'vault', allowInsecureHttp: true, ...rest, settingsFrom }
  const provider = { name: 'bao', id: 'vault:prod', ...common }
  return { transit, put, provider, start: () => start(folder, [provider]) }
}

function start(folder: TempFolder, providers: readonly object[]): Promise<PluginProcess> {
  const health = { interval: '1s', staleAfter: '10s' }
  return startPluginProcess({ folder: folder.path, config: { health, providers } })
}

for (const version of [1, 2] as const) {
  test(`version ${version}: mount and key come from there at the start, what may change is followed, and another key is refused`, async () => {
    await using folder = await tempFolder()
    await using bao = await startOpenBao()
    const { transit, put, start } = await setup(folder, bao, version)
    const { mount, key } = transit
    await put({ mount, key })
    await using plugin = await start()
    await healthy(plugin)
    await roundTrip(plugin)
    assert.is(plugin.events('provider_call').length, 0)

    await put({ mount, key, logLevel: 'debug', activationDelay: '0s', outageHold: '1h' })
    await until('the level is followed', () => plugin.events('provider_call').length > 0)

    await bao.request('POST', `${mount}/keys/planted-key`, {})
    const status = await plugin.client.v2.status()
    await put({ mount, key: 'planted-key' })
    await until('it is reported', () => plugin.events('settings_kept').length > 0)
    await roundTrip(plugin)
    assert.is((await plugin.client.v2.status()).keyId, status.keyId)

    await put({ mount, key, surprise: 'planted-value' })
    await until('what is unknown is reported', () => plugin.events('settings_kept').length > 1)
    await roundTrip(plugin)
    assert.not.match(plugin.output(), /planted/)
  })
}

test('of two providers with settings the first says what is logged, also when the other one answers later', async () => {
  await using folder = await tempFolder()
  await using other = await tempFolder()
  await using bao = await startOpenBao()
  await using second = await startOpenBao()
  const [a, b] = [await setup(folder, bao, 2), await setup(other, second, 2)]
  const place = { mount: a.transit.mount, key: a.transit.key }
  await a.put({ ...place, logLevel: 'debug', activationDelay: '1m' })
  await b.put(place)
  await using plugin = await start(folder, [
    { ...a.provider, name: 'a' },
    { ...b.provider, name: 'b', id: 'vault:second' },
  ])
  await healthy(plugin)
  await b.put({ ...place, outageHold: '1h' })
  const [ignored] = await plugin.told('settings_ignored')

  const before = plugin.events('provider_call').length
  await roundTrip(plugin)

  await until('debug lines go on', () => plugin.events('provider_call').length > before + 1)
  assert.match(String(ignored?.['message']), /"b" hold outageHold, which is not in force/)
})

test('settings that come late are no reason to exit, and what is missing is named', async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao()
  const { transit, put, start } = await setup(folder, bao, 2)
  await using plugin = await start()
  await until('it says what is missing', () =>
    plugin.output().includes('settingsFrom: there is nothing'),
  )

  await put({ mount: transit.mount, key: transit.key })

  await healthy(plugin)
  await roundTrip(plugin)
})

test.run()
