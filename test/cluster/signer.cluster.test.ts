/**
 * A real kube-apiserver whose ServiceAccount tokens are signed by a key of OpenBao: tokens, reviews
 * and discovery, an outage with a cold start in it, a rotation, a plugin that is killed, and the way
 * from a key file to the signer and back.
 *
 * @module
 */

import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import { type ApiServer, startApiServer, withKeyFile } from '../_lib/cluster/api_server.ts'
import {
  discoveredKids,
  forged,
  isReviewed,
  isTaken,
  isVerifiedOutside,
  kidOf,
  makeAccount,
  newToken,
} from '../_lib/cluster/service_accounts.ts'
import {
  ACTIVATION_DELAY_MS,
  type SignerScene,
  socketOf,
  startClients,
  startScene,
  startSigner,
  withSigner,
} from '../_lib/cluster/signer_scene.ts'
import { figure } from '../_lib/figure.ts'
import { connectSigner } from '../_lib/grpc/signer_client.ts'
import { rejection, suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const test = suite('cluster/signer', () => ({}), 300_000)

test('tokens of a key of OpenBao, through an outage with a cold start, a rotation and a kill [J1 J2 J3 J4 J6 J10 J12]', async () => {
  await using scene = await startScene()
  let plugin = await startSigner(scene)
  await using stack = new AsyncDisposableStack()
  stack.defer(() => plugin[Symbol.asyncDispose]())
  const tokenFlags = () => withSigner(socketOf(scene))
  const options = { folder: scene.folder.path, etcd: scene.etcd, tokenFlags }
  await using server = await startApiServer(options)
  await makeAccount(server)

  const first = await newToken(server)
  assert.ok(await isTaken(server, first))
  assert.ok(await isReviewed(server, first))
  assert.ok(await isVerifiedOutside(server, first))
  assert.not.ok(await isTaken(server, forged(first)))
  assert.equal(await discoveredKids(server), [kidOf(first)])

  // The key service is away, and plugin and API server start without it.
  await scene.bao.stop()
  assert.match(String(await rejection(newToken(server))), /answered 500/)
  await plugin.stop()
  await server.process.stop()
  plugin = await startSigner(scene)
  const start = performance.now()
  await server.start()
  figure(
    `a cold start without the key service: the API server was ready after ${Math.round(performance.now() - start)} ms`,
  )
  assert.ok(await isTaken(server, first))
  assert.ok(await isVerifiedOutside(server, first))
  await scene.bao.start()
  const second = await until('tokens are signed again', () => newToken(server).catch(() => false))
  assert.ok(await isTaken(server, String(second)))

  // A rotation.
  const rotated = performance.now()
  await scene.bao.rotate(scene.transit)
  const kids = await until('discovery shows both', async () => {
    const shown = await discoveredKids(server)
    return shown.length === 2 && shown
  })
  const beforeSwitch = await newToken(server)
  const isYoung = performance.now() - rotated < ACTIVATION_DELAY_MS - 1_000
  // A busy machine may come as late as the delay, which is counted from a whole second.
  if (isYoung) assert.is(kidOf(beforeSwitch), kidOf(first), 'the new key signs after its delay')
  const young = await until('the new key signs', async () => {
    const token = await newToken(server)
    return kidOf(token) !== kidOf(first) && token
  })
  assert.ok(kids.includes(kidOf(young)), 'everybody could know it')
  for (const token of [first, beforeSwitch, young]) {
    assert.ok(await isTaken(server, token))
    assert.ok(await isVerifiedOutside(server, token))
  }

  // Killed: who has a token goes on, and who wants one waits.
  await plugin.stop('SIGKILL')
  assert.ok(await isTaken(server, young))
  const waiting = newToken(server)
  plugin = await startSigner(scene)
  assert.ok(await isTaken(server, await waiting))
})

test('two API servers come from a key file to the signer one after the other, and one goes back: every token is good everywhere [J13 J14]', async () => {
  await using scene = await startScene()
  const { folder, etcd } = scene
  const saPub = folder.at('sa.pub')
  const signerPub = folder.at('signer.pub')
  const legacyKeys = [{ file: saPub }]
  const names = ['one', 'two'] as const
  const flags = new Map<string, (keyFile: string) => readonly string[]>()
  const start = (name: string) =>
    startApiServer({
      folder: folder.path,
      etcd,
      name,
      tokenFlags: (keyFile) => flags.get(name)?.(keyFile) ?? withKeyFile(keyFile),
    })
  // As the runbook has it: the public key of the signer is in the flags before it signs.
  const made = await scene.bao.request('GET', 'transit/keys/k8s-sa')
  const pem = (made as { data: { keys: Record<string, { public_key: string }> } }).data.keys['1']
  await writeFile(signerPub, pem?.public_key ?? '')
  for (const name of names) flags.set(name, (keyFile) => withKeyFile(keyFile, signerPub))
  await using one = await start('one')
  const run = promisify(execFile)
  const keyFile = folder.at('service-account.pem')
  await run('openssl', ['pkey', '-in', keyFile, '-pubout', '-out', saPub])
  await using two = await start('two')
  await makeAccount(one)
  const old = await newToken(one)
  await using _plugins = await startPlugins(scene, names, legacyKeys)

  const down = new Set<ApiServer>()
  const tokens = [old]
  const clients = startClients([one, two], tokens, down)
  const restart = async (server: ApiServer, name: string, next: typeof withSigner | undefined) => {
    flags.set(name, (file) =>
      next === undefined ? withKeyFile(file, signerPub) : next(socketOf(scene, name)),
    )
    down.add(server)
    await server.process.stop()
    await server.start()
    down.delete(server)
    const at = clients.counts.asked
    await until('clients go on there', () => clients.counts.asked > at + 40)
  }
  await restart(one, 'one', withSigner)
  const signed = await newToken(one)
  assert.is.not(kidOf(signed), kidOf(old))
  assert.ok(await isTaken(two, signed), 'one that still has the key file takes it')
  assert.ok(await isVerifiedOutside(one, old), 'discovery shows the key of before')
  await restart(two, 'two', withSigner)
  assert.ok(await isTaken(two, old))
  await restart(one, 'one', undefined)
  const back = await newToken(one)
  assert.is(kidOf(back), kidOf(old))
  for (const server of [one, two]) {
    for (const token of [old, signed, back]) assert.ok(await isTaken(server, token))
  }
  await clients.stop()

  assert.equal(clients.counts.failed, [])
  figure(
    `two API servers to the signer and one back: ${clients.counts.asked} checks of ${tokens.length} tokens, none failed`,
  )
})

async function startPlugins(
  scene: SignerScene,
  names: readonly string[],
  legacyKeys: readonly object[],
): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack()
  for (const name of names) {
    stack.use(await startSigner(scene, name, { legacyKeys }))
    using client = connectSigner(socketOf(scene, name))
    assert.is((await client.fetchKeys()).keys.length, 2)
  }
  return stack.move()
}

test.run()
