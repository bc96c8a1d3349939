/** What the plugin leaves at the key service when it is told to stop: the bundle against the real OpenBao server. */

import { writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import {
  configText,
  type PluginProcess,
  RUNTIMES,
  type Runtime,
  startWellPlugin,
} from '../_lib/plugin/process.ts'
import { type OpenBao, startOpenBao, type Transit } from '../_lib/services/vault/openbao.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

/** What the plugin has for requests under way and for leaving. */
const DRAIN_MS = 5_000
/** For a loaded machine, and for the end of the process. */
const SLACK_MS = 15_000

interface Scene extends AsyncDisposable {
  readonly folder: TempFolder
  readonly bao: OpenBao
  readonly transit: Transit
  start(runtime?: Runtime, change?: object): Promise<PluginProcess>
  alive(): Promise<readonly string[]>
}

const listReply = v.object({ data: v.object({ keys: v.array(v.string()) }) })
const test = suite('e2e/tokens', () => ({}))

async function scene(): Promise<Scene> {
  const folder = await tempFolder()
  const bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path })
  return {
    folder,
    bao,
    transit,
    start: (runtime = 'node', change = {}) => {
      const vault = { name: 'bao', type: 'vault', allowInsecureHttp: true, ...transit.provider }
      const config = { providers: [{ ...vault, ...change }], log: { level: 'debug' } }
      return startWellPlugin({ runtime, folder: folder.path, config, hosts: [bao.host] })
    },
    async alive() {
      const reply = await bao.request('GET', 'auth/token/accessors?list=true')
      return v.parse(listReply, reply).data.keys.sort()
    },
    async [Symbol.asyncDispose]() {
      await bao[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

/** Stops it, and says how long that took. */
async function stopped(plugin: PluginProcess): Promise<{ code: number | null; ms: number }> {
  const start = performance.now()
  const code = await plugin.stop()
  return { code, ms: performance.now() - start }
}

for (const runtime of RUNTIMES) {
  test(`${runtime}: a plugin that is started and stopped again and again leaves no token`, async () => {
    await using one = await scene()
    const before = await one.alive()

    for (let start = 0; start < 4; start += 1) {
      await using plugin = await one.start(runtime)
      assert.is((await one.alive()).length, before.length + 1)

      const { code } = await stopped(plugin)

      assert.is(code, 0)
      assert.equal(plugin.events('token_not_revoked'), [])
      assert.equal(await one.alive(), before)
    }
  })
}

for (const outage of ['frozen', 'sealed', 'gone'] as const) {
  test(`SIGTERM while the key service is ${outage} ends the plugin within the time for it`, async () => {
    await using one = await scene()
    await using plugin = await one.start()
    if (outage === 'frozen') one.bao.freeze()
    if (outage === 'sealed') await one.bao.seal()
    if (outage === 'gone') await one.bao.stop('SIGKILL')
    const asking = plugin.client.v2
      .encrypt({ uid: 'u', plaintext: new Uint8Array(32) })
      .catch((error: unknown) => error)

    const { code, ms } = await stopped(plugin)
    await asking

    assert.is(code, 0)
    assert.ok(ms < DRAIN_MS + SLACK_MS, `${Math.round(ms)} ms`)
    const lines = plugin.events('token_not_revoked')
    assert.equal(
      lines.map(({ level }) => level),
      ['info'],
    )
  })
}

test('a provider that a new config leaves out gives its token back while the plugin goes on', async () => {
  await using one = await scene()
  const before = await one.alive()
  const other = await one.bao.setupTransit({ folder: one.folder.path, mount: 'other', key: 'two' })
  const second = { name: 'second', type: 'vault', allowInsecureHttp: true, ...other.provider }
  const vault = { name: 'bao', type: 'vault', allowInsecureHttp: true, ...one.transit.provider }
  const config = { providers: [vault, second] }
  await using plugin = await startWellPlugin({ folder: one.folder.path, config })
  assert.is((await one.alive()).length, before.length + 2)

  await writeFile(plugin.configPath, configText(plugin.socketPath, { providers: [vault] }))

  await until('one token is left', async () => (await one.alive()).length === before.length + 1)
  await plugin.client.v2.status()
  assert.is((await stopped(plugin)).code, 0)
  assert.equal(await one.alive(), before)
})

test.run()
