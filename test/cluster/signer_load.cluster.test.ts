/**
 * Two API servers, each with a plugin that signs for it, under load: the key is rotated, and each
 * plugin is upgraded by take-over.
 *
 * @module
 */

import * as assert from 'uvu/assert'
import { type ApiServer, startApiServer } from '../_lib/cluster/api_server.ts'
import { kidOf, makeAccount, newToken } from '../_lib/cluster/service_accounts.ts'
import {
  type SignerScene,
  socketOf,
  startClients,
  startScene,
  startSigner,
  withSigner,
} from '../_lib/cluster/signer_scene.ts'
import { figure } from '../_lib/figure.ts'
import type { PluginProcess } from '../_lib/plugin/process.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const test = suite('cluster/signer_load', () => ({}), 300_000)
/** So many more answers show that it goes on. */
const MORE = 60

function startServer(scene: SignerScene, name: string): Promise<ApiServer> {
  const { folder, etcd } = scene
  const tokenFlags = () => withSigner(socketOf(scene, name))
  return startApiServer({ folder: folder.path, etcd, name, tokenFlags })
}

test('two API servers under load through a rotation and an upgrade of each plugin: no request fails [J1 J12]', async () => {
  await using scene = await startScene()
  await using stack = new AsyncDisposableStack()
  const plugins = new Map<string, PluginProcess>()
  for (const name of ['one', 'two']) {
    plugins.set(name, stack.use(await startSigner(scene, name)))
  }
  await using one = await startServer(scene, 'one')
  await using two = await startServer(scene, 'two')
  await makeAccount(one)
  const tokens = [await newToken(one)]
  const before = kidOf(tokens[0] ?? '')
  const clients = startClients([one, two], tokens, new Set())
  const goesOn = async () => {
    const at = clients.counts.asked
    await until('clients go on', () => clients.counts.asked > at + MORE)
  }
  const told = (what: string, from: { asked: number }) => {
    const { asked, failed, longestMs } = clients.counts
    const more = `${asked - from.asked} checks of tokens, ${failed.length} failed`
    figure(`${what}: ${more}; the longest wait for a token so far ${longestMs} ms`)
    clients.counts.longestMs = 0
  }
  await goesOn()

  let from = { ...clients.counts }
  await scene.bao.rotate(scene.transit)
  for (const server of [one, two]) {
    await until('it signs with the new key', async () => kidOf(await newToken(server)) !== before)
  }
  await goesOn()
  told('a rotation with two API servers under load', from)

  from = { ...clients.counts }
  for (const [name, old] of plugins) {
    const next = await startSigner(scene, name, {}, { takeOver: true })
    stack.use(next)
    await until('both sockets are taken', () => old.events('socket_taken').length === 2)
    assert.is(await old.stop(), 0)
    await goesOn()
    assert.is(next.socketPath, old.socketPath)
  }
  told('both plugins upgraded by take-over under load', from)
  await clients.stop()

  assert.equal(clients.counts.failed, [])
  assert.ok(tokens.some((token) => kidOf(token) !== before))
})

test.run()
