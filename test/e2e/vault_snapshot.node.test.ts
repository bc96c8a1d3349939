/**
 * A backup of the key service that is older than its newest key version: the bundle
 * on the real server, whose raft snapshot is restored while it serves.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import { type PluginProcess, startWellPlugin } from '../_lib/plugin/process.ts'
import { type OpenBao, startOpenBao } from '../_lib/services/vault/openbao.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const SEED = Buffer.from('0123456789abcdef0123456789abcdef')
const SERVING = 200
const FAILED_PRECONDITION = 9

const test = suite('e2e/vault_snapshot', () => ({}))

test('a snapshot from before a rotation: the key id stays, nothing new is written, what is older opens; a newer snapshot mends all', async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path })
  await using plugin = await startWellPlugin({
    folder: folder.path,
    config: {
      health: { interval: '1s', staleAfter: '10s' },
      rotation: { activationDelay: '0s' },
      providers: [{ name: 'v', type: 'vault', allowInsecureHttp: true, ...transit.provider }],
    },
  })
  const { v2 } = plugin.client
  const first = await v2.encrypt({ plaintext: SEED, uid: 'first' })
  const older = await snapshotOf(bao)
  await bao.rotate(transit)
  await until('the new version is used', async () => (await v2.status()).keyId !== first.keyId)
  const second = await v2.encrypt({ plaintext: SEED, uid: 'second' })
  const newer = await snapshotOf(bao)

  await restore(bao, older)
  await until('the loop has noticed', () => stateOf(plugin) === 'held')

  assert.is((await v2.status()).keyId, second.keyId)
  assert.equal(Buffer.from((await v2.decrypt({ ...first, uid: 'older' })).plaintext), SEED)
  assert.is(await codeOf(v2.decrypt({ ...second, uid: 'lost' })), FAILED_PRECONDITION)
  assert.is(await codeOf(v2.encrypt({ plaintext: SEED, uid: 'new' })), FAILED_PRECONDITION)

  await restore(bao, newer)
  const writes = async () => (await codeOf(v2.encrypt({ plaintext: SEED, uid: 'again' }))) === 0
  await until('it writes again', writes, { everyMs: 100 })

  for (const made of [first, second, await v2.encrypt({ plaintext: SEED, uid: 'again' })]) {
    assert.equal(Buffer.from((await v2.decrypt({ ...made, uid: 'all' })).plaintext), SEED)
  }
  assert.is((await v2.status()).keyId, second.keyId)
})

test.run()

function stateOf(plugin: PluginProcess): unknown {
  return plugin.events('health').at(-1)?.['state']
}

function codeOf(promise: Promise<unknown>): Promise<number> {
  return promise.then(
    () => 0,
    (error: { code: number }) => error.code,
  )
}

async function snapshotOf(bao: OpenBao): Promise<ArrayBuffer> {
  const answer = await storage(bao, 'snapshot')
  return await answer.arrayBuffer()
}

async function restore(bao: OpenBao, snapshot: ArrayBuffer): Promise<void> {
  await storage(bao, 'snapshot-force', { method: 'POST', body: snapshot })
  await until('the server serves again', async () => {
    const { status } = await fetch(`${bao.address}/v1/sys/health`)
    return status === SERVING
  })
}

async function storage(
  { address, rootToken }: OpenBao,
  path: string,
  request: RequestInit = {},
): Promise<Response> {
  const headers = { 'x-vault-token': rootToken }
  const answer = await fetch(`${address}/v1/sys/storage/raft/${path}`, { ...request, headers })
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${await answer.text()}`)
  return answer
}
