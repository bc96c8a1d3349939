/**
 * The bundle at a key service whose every answer contains planted words: none of them, no token, no
 * credential and no key material appears in any output, at the most verbose level.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { fakeCollector } from '../_lib/observe/fake_collector.ts'
import { adminPage } from '../_lib/plugin/admin_page.ts'
import { type PluginProcess, startPluginProcess } from '../_lib/plugin/process.ts'
import type { Fault } from '../_lib/services/vault/fake/faults.ts'
import { type FakeVault, startFakeVault } from '../_lib/services/vault/fake.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const PLANTED = 'planted-words-of-the-service'
const SEED = Buffer.from('planted-seed-of-32-bytes-exactly')
const STATUSES = [301, 307, 400, 401, 403, 404, 405, 412, 413, 429, 472, 473, 500, 501, 502, 503]
const test = suite('e2e/secrets', () => ({}))

function faults(): Fault[] {
  return [
    ...STATUSES.map(
      (status): Fault => ({
        kind: 'answer',
        status,
        errors: [PLANTED],
        headers: { location: `http://${PLANTED}.example.org/?q=${PLANTED}`, 'retry-after': '0' },
      }),
    ),
    { kind: 'answer', status: 200, text: `<html>${PLANTED}</html>` },
    { kind: 'answer', status: 404, text: `<html>${PLANTED}</html>` },
    { kind: 'wrongShape', value: { data: { [PLANTED]: PLANTED, batch_results: PLANTED } } },
    {
      kind: 'wrongShape',
      value: { data: { batch_results: [{ ciphertext: PLANTED, error: PLANTED }] } },
    },
    { kind: 'wrongShape', value: { auth: { client_token: PLANTED, lease_duration: PLANTED } } },
    { kind: 'halfBody' },
    { kind: 'invalidJson' },
    { kind: 'noAnswer' },
  ]
}

async function start(
  folder: TempFolder,
  cluster: FakeVault,
  tracesEndpoint: string,
): Promise<PluginProcess> {
  const approle = await cluster.setupApprole(folder.path)
  return await startPluginProcess({
    folder: folder.path,
    config: {
      log: { level: 'debug' },
      admin: { listen: `unix://${folder.at('admin.sock')}` },
      traces: { endpoint: tracesEndpoint },
      health: { interval: '100ms', staleAfter: '1s' },
      requestTimeout: '500ms',
      providers: [{ name: 'fake', type: 'vault', allowInsecureHttp: true, ...approle.provider }],
    },
  })
}

test('whatever the service answers, and whatever is encrypted, nothing of it comes out', async () => {
  await using folder = await tempFolder()
  await using cluster = await startFakeVault()
  await using collector = await fakeCollector()
  await using plugin = await start(folder, cluster, collector.endpoint)
  const { v2 } = plugin.client
  const said: string[] = []
  const ask = async () => {
    try {
      const made = await v2.encrypt({ plaintext: SEED, uid: 'secrets' })
      await v2.decrypt({ ...made, uid: 'secrets' })
      return true
    } catch (error) {
      said.push(String(error))
      return false
    }
  }
  await until('it works', ask)

  for (const fault of faults()) {
    const node = cluster.node(0)
    const before = said.length
    const all = node.fault(fault)
    cluster.revokeTokens()
    await ask()
    await until('the fault was met', () => all.hits > 0 || said.length > before)
    said.push(await adminPage(folder.at('admin.sock'), '/statusz'))
    node.clearFaults()
  }
  await cluster.nodes[0]?.stop()
  await ask()
  said.push(await adminPage(folder.at('admin.sock'), '/statusz'))
  said.push(await adminPage(folder.at('admin.sock'), '/metrics'))
  said.push(await adminPage(folder.at('admin.sock'), '/readyz'))
  said.push(await readFile(`/proc/${plugin.pid}/cmdline`, 'utf8'), plugin.output())

  assert.is(await plugin.stop(), 0)
  assert.equal(collector.problems, [])
  const traced = collector.requests.flat()
  // On a busy machine it may end before the collector has taken the last ones.
  assert.ok(traced.some(({ status }) => status !== undefined) && traced.length > 10)
  said.push(JSON.stringify(traced))

  const secrets = [PLANTED, SEED.toString('utf8'), SEED.toString('base64'), SEED.toString('hex')]
  for (const { text, headers } of cluster.nodes.flatMap(({ requests }) => requests)) {
    const token = headers['x-vault-token']
    if (typeof token === 'string') secrets.push(token)
    const { secret_id: secretId } = text.startsWith('{') ? JSON.parse(text) : {}
    if (typeof secretId === 'string') secrets.push(secretId)
  }
  assert.ok(secrets.length > 6, 'tokens and secret ids were seen')
  const everything = said.join('\n')
  for (const secret of new Set(secrets)) {
    // A redirect's host is told, so that the operator can name it.
    const found = everything.replaceAll(`${PLANTED}.example.org`, '').includes(secret)
    assert.not(found, `found ${secret.slice(0, 12)}…`)
  }
})

test.run()
