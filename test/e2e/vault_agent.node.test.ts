/**
 * The bundle with the real agent of the key service in each of its three parts: it
 * stands in between and adds its token, it writes its token to a file, and it renders
 * the plugin's config. Its tokens end, and the plugin goes on.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import { access, readFile, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { runProgram } from '../../src/cli/program.ts'
import { policyText } from '../../src/services/vault/setup/policy.ts'
import { memoryIo } from '../_lib/console/memory_io.ts'
import { configText, type PluginProcess, startWellPlugin } from '../_lib/plugin/process.ts'
import { since } from '../_lib/services/vault/key_server.ts'
import { type OpenBao, startOpenBao, type Transit } from '../_lib/services/vault/openbao.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'
import { runAgent, startAgent } from './vault_agent.ts'

/** The agent notices a revocation when it renews. */
const LIFE = { tokenTtl: '2s', tokenMaxTtl: '5s' }
const HEALTH = { interval: '1s', staleAfter: '10s' }
const SETTINGS = { mount: 'kv', path: 'trousseau/prod', version: 1 } as const

const test = suite('e2e/vault_agent', () => ({}))

async function roundTrip({ client }: PluginProcess): Promise<void> {
  const plaintext = randomBytes(32)
  const made = await client.v2.encrypt({ plaintext, uid: 'agent' })
  const opened = await client.v2.decrypt({ ...made, uid: 'agent' })
  assert.equal([...opened.plaintext], [...plaintext])
}

async function worksAgain(plugin: PluginProcess, why: string): Promise<void> {
  const works = () =>
    roundTrip(plugin).then(
      () => true,
      () => false,
    )
  await until(why, works)
}

function thereIs(path: string): Promise<void> {
  const there = () =>
    access(path).then(
      () => true,
      () => false,
    )
  return until(`there is ${path}`, there).then(() => undefined)
}

test('agent: the plugin has no token, asks over the socket of the real agent, and goes on after a revocation', async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path, ...LIFE })
  const { mount, key } = transit
  const socket = folder.at('agent.sock')
  const withToken = { use_auto_auth_token: true }
  await using _agent = await startAgent({
    folder: folder.path,
    bao,
    transit,
    config: {
      ...(since(13) ? { api_proxy: withToken } : { cache: withToken }),
      listener: [{ unix: { address: socket, tls_disable: true, require_request_header: true } }],
    },
  })
  await thereIs(socket)
  const auth = { method: 'agent' }
  const provider = { name: 'v', type: 'vault', address: `unix://${socket}`, mount, key, auth }
  await using plugin = await startWellPlugin({
    folder: folder.path,
    config: { health: HEALTH, providers: [provider] },
  })
  await roundTrip(plugin)

  await transit.revokeTokens()

  await worksAgain(plugin, 'the agent has logged in again')
})

test('manifests vault-agent: a real agent starts with what it prints, at a server of a private authority, and so does the plugin', async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao({ tls: true })
  const { provider } = await bao.setupTransit({ folder: folder.path })
  await writeFile(
    folder.at('direct.json'),
    configText(folder.at('kms.sock'), {
      health: HEALTH,
      providers: [{ name: 'v', type: 'vault', ...provider, tls: { caFile: bao.caFile } }],
    }),
  )
  const made = ['manifests', 'vault-agent', '--config', folder.at('direct.json')]
  assert.is(await runProgram([...made, '--out', folder.at('made')], memoryIo()), 0)
  // In the pod this folder is one of its own.
  const at = async (name: string) =>
    (await readFile(folder.at(`made/${name}`), 'utf8')).replaceAll('/run/vault-agent', folder.path)
  const printed = await at('agent.hcl')
  await writeFile(
    folder.at('agent.hcl'),
    since(13) ? printed : printed.replace(/^api_proxy (?=\{)/m, 'cache '),
  )
  const config: Readonly<Record<string, unknown>> = parse(await at('trousseau.yaml'))
  assert.not.match(JSON.stringify(config), 'role-id')

  await using _agent = await runAgent(folder.at('agent.hcl'))
  await using plugin = await startWellPlugin({ folder: folder.path, config })
  await roundTrip(plugin)
})

test('token: the plugin follows the file that the real agent writes its tokens to, with the config that it renders from the settings', async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path, ...LIFE })
  await putSettings(bao, transit)
  const [sink, rendered] = [folder.at('token'), folder.at('rendered.json')]
  await using _agent = await startAgent({
    folder: folder.path,
    bao,
    transit,
    sink,
    config: { template: [{ contents: templateFor(bao, sink), destination: rendered }] },
  })
  await thereIs(rendered)
  const config: unknown = JSON.parse(await readFile(rendered, 'utf8'))
  await using plugin = await startWellPlugin({
    folder: folder.path,
    config: config as Readonly<Record<string, unknown>>,
  })
  await roundTrip(plugin)
  const first = await readFile(sink, 'utf8')

  await until('its life is over, and the agent wrote another', async () => {
    const now = await readFile(sink, 'utf8')
    return now !== '' && now !== first
  })
  await bao.request('POST', 'auth/token/revoke', { token: first }).catch(() => undefined)

  await worksAgain(plugin, 'requests go on with the new token')
  for (const secret of [first, await readFile(sink, 'utf8')]) {
    assert.not.match(plugin.output(), secret)
  }
})

test.run()

/** Mount and key, where the agent's policy lets it read them. */
async function putSettings(bao: OpenBao, { mount, key, policy }: Transit): Promise<void> {
  await bao.request('POST', 'sys/mounts/kv', { type: 'kv', options: { version: '1' } })
  await bao.request('POST', 'kv/trousseau/prod', { mount, key })
  const text = policyText({ mount, key, settingsFrom: SETTINGS })
  await bao.request('POST', `sys/policies/acl/${policy}`, { policy: text })
}

function templateFor({ address }: OpenBao, tokenFile: string): string {
  const provider = {
    name: 'v',
    type: 'vault',
    address,
    allowInsecureHttp: true,
    mount: '{{ .Data.mount }}',
    key: '{{ .Data.key }}',
    auth: { method: 'token', tokenFile },
  }
  const config = JSON.stringify({ health: HEALTH, providers: [provider] })
  return `{{ with secret "kv/trousseau/prod" }}${config}{{ end }}`
}
