/** A new process takes the socket over from the old one under load, and back; and a plain restart. @module */

import * as assert from 'uvu/assert'
import { figure } from '../_lib/figure.ts'
import { KmsLoad } from '../_lib/plugin/kms_load.ts'
import {
  type PluginProcess,
  type PluginProcessOptions,
  RUNTIMES,
  startPluginProcess,
} from '../_lib/plugin/process.ts'
import { type OpenBao, startOpenBao } from '../_lib/services/vault/openbao.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const test = suite('e2e/hand_over', () => ({}))
const KINDS = ['status', 'encrypt_v2', 'encrypt_v1', 'decrypt_v2', 'decrypt_v1'] as const

async function optionsFor(bao: OpenBao, folder: string): Promise<PluginProcessOptions> {
  const transit = await bao.setupTransit({ folder })
  const provider = { name: 'bao', type: 'vault', allowInsecureHttp: true, ...transit.provider }
  return {
    folder,
    hosts: [bao.host, `unix:${folder}/admin.sock`],
    config: {
      providers: [provider],
      admin: { listen: `unix://${folder}/admin.sock` },
      log: { level: 'debug', format: 'json' },
      // A process that starts on a loaded machine takes long over its first write.
      requestTimeout: '10s',
    },
  }
}

async function answered(load: KmsLoad, since: number, count = 20): Promise<void> {
  await until('every kind of request is answered', () =>
    KINDS.every((kind) => load.of(kind, since).filter(({ failed }) => !failed).length >= count),
  )
}

for (const runtime of RUNTIMES) {
  test(`an upgrade and its rollback by --take-over fail no request (${runtime}) [T13 T14]`, async () => {
    await using folder = await tempFolder()
    await using bao = await startOpenBao()
    const options = { ...(await optionsFor(bao, folder.path)), runtime }
    await using first = await startPluginProcess(options)
    await until('it is ready', () => first.client.v2.status().catch(() => undefined))
    await using load = new KmsLoad(first.socketPath)
    await answered(load, 0)

    const turn = async (old: PluginProcess) => {
      const next = await startPluginProcess({ ...options, takeOver: true })
      await until('the old one tells', () => old.events('socket_taken').length === 1)
      assert.is(await old.stop(), 0)
      await answered(load, performance.now())
      await until(
        'its admin server has the address',
        () => next.events('admin_listening').length === 1,
      )
      return next
    }
    await using second = await turn(first)
    await using third = await turn(second)
    await load.stop()

    for (const kind of KINDS) assert.equal(load.failures(kind), [], kind)
    assert.equal(load.wrong, [])
    assert.is(third.events('socket_taken').length, 0)
    const gaps = KINDS.map((kind) => `${kind} ${load.longestGapMs(kind)} ms`)
    figure(`longest gaps over two hand-overs on ${runtime}: ${gaps.join(', ')}`)
  })
}

test('a new process that could not write takes nothing over, and says why', async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao()
  const options = await optionsFor(bao, folder.path)
  await using first = await startPluginProcess(options)
  const keyId = await until('it is ready', () =>
    first.client.v2.status().then(
      (status) => status.keyId,
      () => undefined,
    ),
  )
  await bao.stop()

  const error = await rejection(startPluginProcess({ ...options, takeOver: true }))

  assert.match((error as Error).message, /Took nothing over, the plugin that runs goes on/)
  assert.is((await first.client.v2.status()).keyId, keyId)
  assert.is(first.events('socket_taken').length, 0)
})

test('without --take-over a second process refuses to start, and the first goes on [T5]', async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao()
  const options = await optionsFor(bao, folder.path)
  await using first = await startPluginProcess(options)

  const error = await rejection(startPluginProcess(options))

  assert.match((error as Error).message, /another process answers there: stop that one first/)
  await until('it is ready', () => first.client.v2.status().catch(() => undefined))
})

test.run()
