/** What the key service can do to the plugin, on the real server and the built bundle. @module */

import { Buffer } from 'node:buffer'
import { existsSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { type PluginProcess, startPluginProcess } from '../_lib/plugin/process.ts'
import { type OpenBao, startOpenBao, type Transit } from '../_lib/services/vault/openbao.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const SEED = Buffer.from('0123456789abcdef0123456789abcdef')
/** How long after the cure the loop may still fail with nobody asking: less than its interval. */
const WITHOUT_REQUEST_MS = 15_000
/** So many requests after the cure the last one has to succeed, so far apart. */
const REQUESTS = 20
const REQUEST_EVERY_MS = 50
/** The plugin's own limit, and what a loaded machine adds; the client would wait longer. */
const REQUEST_LIMIT_MS = 2_500
const SLACK_MS = 5_000
const UNAVAILABLE = 14
const PERMISSION_DENIED = 7

const test = suite('e2e/outage', () => ({}))

interface Setup extends AsyncDisposable {
  readonly bao: OpenBao
  readonly transit: Transit
  readonly folder: TempFolder
  plugin: PluginProcess
  start(extra?: Readonly<Record<string, unknown>>): Promise<PluginProcess>
}

async function setup(extra: Readonly<Record<string, unknown>> = {}): Promise<Setup> {
  const folder = await tempFolder()
  const bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path })
  const start = (more: Readonly<Record<string, unknown>> = {}) =>
    startPluginProcess({
      folder: folder.path,
      config: {
        providers: [
          { name: 'vault-prod', type: 'vault', allowInsecureHttp: true, ...transit.provider },
        ],
        log: { level: 'debug', format: 'json' },
        ...extra,
        ...more,
      },
    })
  const plugin = await start()
  await healthy(plugin)
  const all: Setup = {
    bao,
    transit,
    folder,
    plugin,
    start,
    async [Symbol.asyncDispose]() {
      await all.plugin[Symbol.asyncDispose]()
      await bao[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
  return all
}

async function codeOf(promise: Promise<unknown>): Promise<number> {
  try {
    await promise
    return 0
  } catch (error) {
    return (error as { code: number }).code
  }
}

async function healthy({ client }: PluginProcess, limitMs = WITHOUT_REQUEST_MS): Promise<string> {
  return await until(
    'Status is ok',
    async () => {
      const status = await client.v2.status().catch(() => undefined)
      return status?.healthz === 'ok' ? status.keyId : undefined
    },
    { limitMs, everyMs: 100 },
  )
}

async function roundTrip({ client }: PluginProcess): Promise<void> {
  const made = await client.v2.encrypt({ plaintext: SEED, uid: 'test' })
  const { plaintext } = await client.v2.decrypt({ ...made, uid: 'test' })
  assert.equal(Buffer.from(plaintext), SEED)
}

const WAYS = ['at the next request', 'by itself'] as const

/** Cures what ails the plugin once its loop has noticed, and waits for its recovery. */
async function recovers(
  plugin: PluginProcess,
  way: (typeof WAYS)[number],
  cure: () => void | Promise<void>,
): Promise<void> {
  const state = () => plugin.events('health').at(-1)?.['state']
  await until('the loop has noticed', () => state() !== 'ok')
  await cure()
  if (way === 'by itself') {
    await until('the loop is well', () => state() === 'ok', { limitMs: WITHOUT_REQUEST_MS })
    await roundTrip(plugin)
    return
  }
  const works = () =>
    roundTrip(plugin).then(
      () => true,
      () => false,
    )
  let requests = 0
  const nextWorks = () => {
    requests += 1
    return works()
  }
  await until('a request succeeds', nextWorks, { everyMs: REQUEST_EVERY_MS })
  assert.ok(requests <= REQUESTS, `${requests} requests`)
}

test('a key service that is away at the start: the socket answers at once with the reason, and is healthy later without a restart [F1 F2 F4 T14]', async () => {
  await using all = await setup()
  const { bao } = all
  await all.plugin.stop()
  await bao.stop()

  all.plugin = await all.start()
  assert.is(await codeOf(all.plugin.client.v2.status()), UNAVAILABLE)
  const text = await all.plugin.client.v2.status().catch((error: Error) => error.message)
  assert.match(String(text), /Not ready yet: .*(connect|refused)/i)

  await bao.start()
  await healthy(all.plugin)
  await roundTrip(all.plugin)
})

for (const way of WAYS) {
  test(`a key service stopped and started while running: Status stays, requests fail clearly and then work (${way})`, async () => {
    await using all = await setup()
    const { bao, plugin } = all
    const keyId = await healthy(plugin)
    await bao.stop()

    assert.is(await codeOf(plugin.client.v2.encrypt({ plaintext: SEED, uid: 'u' })), UNAVAILABLE)
    assert.is((await plugin.client.v2.status()).keyId, keyId)
    await until('the log tells', () =>
      plugin.events('health').some(({ state }) => state === 'held'),
    )

    await recovers(plugin, way, () => bao.start())
  })
}

for (const way of WAYS) {
  test(`a frozen key service: a request fails inside its limit and never hangs [T15 E13] (${way})`, async () => {
    await using all = await setup()
    const { bao, plugin } = all
    bao.freeze()
    const start = performance.now()

    const codes = await Promise.all(
      Array.from({ length: 20 }, () =>
        codeOf(plugin.client.v2.encrypt({ plaintext: SEED, uid: 'u' })),
      ),
    )
    const took = performance.now() - start

    assert.equal([...new Set(codes)], [4])
    assert.ok(took < REQUEST_LIMIT_MS + SLACK_MS, `took ${took} ms`)
    assert.is((await plugin.client.v2.status()).healthz, 'ok')
    await recovers(plugin, way, () => bao.thaw())
  })
}

for (const way of WAYS) {
  test(`a sealed key service: UNAVAILABLE, and back after the unsealing (${way})`, async () => {
    await using all = await setup()
    const { bao, plugin } = all
    await bao.seal()

    assert.is(await codeOf(plugin.client.v2.encrypt({ plaintext: SEED, uid: 'u' })), UNAVAILABLE)
    assert.is((await plugin.client.v2.status()).healthz, 'ok')
    await recovers(plugin, way, () => bao.unseal())
  })
}

test('a revoked token: the first requests that meet it succeed, with one login for all of them', async () => {
  await using all = await setup()
  const { transit, plugin } = all
  const logins = () => plugin.events('token').filter(({ action }) => action === 'login').length
  await until('its first login is told', () => logins() === 1)
  await transit.revokeTokens()

  await Promise.all(Array.from({ length: 100 }, () => roundTrip(plugin)))

  await until('another login is told', () => logins() > 1)
  assert.is(logins(), 2)
  assert.is((await plugin.client.v2.status()).healthz, 'ok')
})

for (const way of WAYS) {
  test(`an AppRole secret id that was destroyed: denied at once, and well again when its file is replaced (${way})`, async () => {
    await using all = await setup()
    const { transit, plugin } = all
    await transit.destroySecretId()
    await transit.revokeTokens()

    assert.is(
      await codeOf(plugin.client.v2.encrypt({ plaintext: SEED, uid: 'u' })),
      PERMISSION_DENIED,
    )
    await until(
      'Status is denied',
      async () => (await codeOf(plugin.client.v2.status())) === PERMISSION_DENIED,
    )

    await recovers(plugin, way, () => transit.replaceSecretId())
  })
}

test('an outage longer than health.outageHold turns Status into an error, a shorter one does not', async () => {
  await using all = await setup({ health: { interval: '500ms', outageHold: '4s' } })
  const { bao, plugin } = all
  const keyId = await healthy(plugin)
  await bao.stop()
  await until('the log tells', () => plugin.events('health').some(({ state }) => state === 'held'))
  assert.is((await plugin.client.v2.status()).keyId, keyId)
  await bao.start()
  assert.is(await healthy(plugin), keyId)

  await bao.stop()
  await until('Status fails', async () => (await codeOf(plugin.client.v2.status())) === UNAVAILABLE)
  await bao.start()
  assert.is(await healthy(plugin), keyId)
})

test('a restart during an outage keeps key id and hold with stateDir, and does not without', async () => {
  await using all = await setup({ health: { interval: '500ms', outageHold: '8s' } })
  const { bao, folder } = all
  const stateDir = folder.at('state')
  await all.plugin.stop()
  all.plugin = await all.start({ stateDir })
  const keyId = await healthy(all.plugin)
  await until('its state is kept', () => existsSync(folder.at('state/state.json')))
  await all.plugin.stop('SIGKILL')
  await bao.stop()

  all.plugin = await all.start({ stateDir })
  assert.is((await all.plugin.client.v2.status()).keyId, keyId)
  await until(
    'the hold is over',
    async () => (await codeOf(all.plugin.client.v2.status())) === UNAVAILABLE,
  )
  await all.plugin.stop()

  await rm(stateDir, { recursive: true })
  all.plugin = await all.start({ stateDir })
  assert.is(await codeOf(all.plugin.client.v2.status()), UNAVAILABLE)
  await bao.start()
  assert.is(await healthy(all.plugin), keyId)
})

test('a state file that somebody damaged is as good as none', async () => {
  await using all = await setup()
  await all.plugin.stop()
  const stateDir = all.folder.at('state')
  all.plugin = await all.start({ stateDir })
  await healthy(all.plugin)
  await all.plugin.stop()
  await writeFile(all.folder.at('state/state.json'), '{"format":1')

  all.plugin = await all.start({ stateDir })

  await healthy(all.plugin)
})

test.run()
