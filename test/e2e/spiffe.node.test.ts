/**
 * The bundle with a SPIFFE agent and the real OpenBao: it waits for an agent that comes later,
 * follows its SVIDs and keys while requests go on, and says what is wrong with it.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import * as assert from 'uvu/assert'
import {
  type PluginProcess,
  RUNTIMES,
  type Runtime,
  startPluginProcess,
} from '../_lib/plugin/process.ts'
import { type FakeSpiffe, SPIFFE_ID, startFakeSpiffe } from '../_lib/remote/fake_spiffe.ts'
import { startOpenBao } from '../_lib/services/vault/openbao.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const test = suite('e2e/spiffe', () => ({}))

/** A plugin whose agent is not there yet, and a key service that takes its SVIDs after `trust`. */
async function setup(runtime: Runtime) {
  const folder = await tempFolder()
  const socketPath = folder.at('agent.sock')
  const bao = await startOpenBao()
  const { policy, provider } = await bao.setupTransit({ folder: folder.path })
  await bao.request('POST', 'sys/auth/jwt', { type: 'jwt' })
  await bao.request('POST', 'auth/jwt/role/trousseau', {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: ['vault'],
    bound_subject: SPIFFE_ID,
    token_policies: policy,
    token_no_default_policy: true,
    token_ttl: '2s',
    token_max_ttl: '4s',
  })
  const spiffe = { socket: `unix://${socketPath}`, audience: 'vault' }
  const auth = { method: 'jwt', role: 'trousseau', spiffe }
  const plugin = await startPluginProcess({
    runtime,
    folder: folder.path,
    config: {
      health: { interval: '1s' },
      log: { level: 'debug' },
      providers: [{ name: 'bao', type: 'vault', ...provider, allowInsecureHttp: true, auth }],
    },
    hosts: [bao.host, `unix:${socketPath}`],
  })
  return {
    plugin,
    socketPath,
    trust: ({ jwksUrl }: FakeSpiffe) =>
      bao.request('POST', 'auth/jwt/config', { jwks_url: jwksUrl }),
    async [Symbol.asyncDispose]() {
      await plugin[Symbol.asyncDispose]()
      await bao[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

function well({ client }: PluginProcess): Promise<boolean> {
  return client.v2.status().then(
    ({ healthz }) => healthz === 'ok',
    () => false,
  )
}

function logins(plugin: PluginProcess) {
  return plugin.events('token').filter(({ action }) => action === 'login')
}

async function roundTrip({ client }: PluginProcess): Promise<void> {
  const plaintext = randomBytes(32)
  const made = await client.v2.encrypt({ plaintext, uid: 'one' })
  const { plaintext: opened } = await client.v2.decrypt({ ...made, uid: 'one' })
  assert.equal([...opened], [...plaintext])
}

for (const runtime of RUNTIMES) {
  test(`${runtime}: the plugin waits for the agent, logs in, and takes each new SVID and key at the next login`, async () => {
    await using one = await setup(runtime)
    const { plugin } = one
    const said = () =>
      plugin.client.v2.status().then(
        () => '',
        (error: Error) => error.message,
      )
    await until('it says that there is no agent', async () =>
      /SPIFFE agent at ".*" is not there/.test(await said()),
    )

    await using spiffe = await startFakeSpiffe(one.socketPath)
    await one.trust(spiffe)
    await until('it is healthy', () => well(plugin))
    await roundTrip(plugin)

    const { agent } = spiffe
    for (const change of [() => agent.rotate(), () => agent.rotateKeys()]) {
      const before = [...agent.issued]
      change()
      await until('there is a login with another SVID', async () => {
        await roundTrip(plugin)
        return agent.issued.length > before.length
      })
    }
    const count = logins(plugin).length
    await until('the new key has logged in', async () => {
      await roundTrip(plugin)
      return logins(plugin).length > count
    })

    assert.ok(
      logins(plugin)
        .slice(-3)
        .every(({ code }) => code === 'ok'),
    )
    for (const jwt of agent.issued) {
      for (const part of jwt.split('.').slice(1)) assert.not.ok(plugin.output().includes(part))
    }
  })
}

test('the log says what is wrong with the agent, and the plugin works again as soon as it is mended', async () => {
  await using one = await setup('node')
  const { plugin } = one
  await using spiffe = await startFakeSpiffe(one.socketPath)
  await one.trust(spiffe)
  await until('it is healthy', () => well(plugin))
  const told = (pattern: RegExp) =>
    until(`the log says ${pattern}`, () => pattern.test(plugin.output()))

  spiffe.agent.identities = []
  await told(/issues no identity to this process, or not auth\.spiffe\.id: register one/)
  spiffe.agent.identities = [SPIFFE_ID]
  await until('it is healthy again', async () => {
    await roundTrip(plugin).catch(() => undefined)
    return await well(plugin)
  })

  spiffe.agent.hangs = true
  await told(/SPIFFE agent at \\?".*" gave no answer within \d+ ms/)
  spiffe.agent.hangs = false
  await until('it works again', () =>
    roundTrip(plugin).then(
      () => true,
      () => false,
    ),
  )
})

test.run()
