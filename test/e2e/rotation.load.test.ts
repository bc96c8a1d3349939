/** Rotations under load, on the real server and the built bundle. @module */

import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import { decodeEnvelope } from '../../src/kms/envelope.ts'
import { startPluginProcess } from '../_lib/plugin/process.ts'
import { startOpenBao } from '../_lib/services/vault/openbao.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const ROTATIONS = 15
const ENCRYPTS = 3_000
const SIDE_BY_SIDE = 32
const SEED = Buffer.from('0123456789abcdef0123456789abcdef')

const test = suite('e2e/rotation', () => ({}))

test(`${ROTATIONS} rotations under ${ENCRYPTS} Encrypts: every key id names the version inside its ciphertext [R2 E3 S8]`, async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path })
  await using plugin = await startPluginProcess({
    folder: folder.path,
    config: {
      providers: [
        { name: 'vault-prod', type: 'vault', allowInsecureHttp: true, ...transit.provider },
      ],
      rotation: { activationDelay: '0s' },
      health: { interval: '100ms', staleAfter: '90s' },
    },
  })
  const statusKeyId = () =>
    plugin.client.v2.status().then(
      ({ keyId }) => keyId,
      () => undefined,
    )
  await until('the plugin is healthy', statusKeyId)
  const made: { keyId: string; ciphertext: Uint8Array }[] = []
  let rotated = 0

  const rotate = async () => {
    for (; rotated < ROTATIONS; rotated += 1) {
      const before = await statusKeyId()
      await bao.rotate(transit)
      await until('the key id follows', async () => (await statusKeyId()) !== before)
    }
  }
  const encrypt = async () => {
    // Goes on until the rotations are through, so that all of them fall under load.
    while (made.length < ENCRYPTS || rotated < ROTATIONS) {
      made.push(await plugin.client.v2.encrypt({ plaintext: SEED, uid: 'u' }))
    }
  }
  await Promise.all([rotate(), ...Array.from({ length: SIDE_BY_SIDE }, encrypt)])

  const wrong = made.filter(({ keyId, ciphertext }) => decodeEnvelope(ciphertext).keyId !== keyId)
  const labels = made.map(({ ciphertext }) => decodeEnvelope(ciphertext).members[0]?.version)
  const keyIds = new Set(made.map(({ keyId }) => keyId))
  assert.is(wrong.length, 0)
  assert.ok(made.length >= ENCRYPTS)
  assert.ok(keyIds.size >= 10, `${keyIds.size} key ids`)
  assert.is(new Set(labels).size, keyIds.size)
  for (const keyId of keyIds) {
    const one = made.find((candidate) => candidate.keyId === keyId)
    if (one === undefined) throw new Error('Made under each key id')
    const { plaintext } = await plugin.client.v2.decrypt({ ...one, annotations: {}, uid: 'u' })
    assert.equal(Buffer.from(plaintext), SEED)
  }
})

/** A healthy plugin on a server of its own, which switches to a new version at once. */
async function healthyPlugin() {
  const folder = await tempFolder()
  const bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path })
  const plugin = await startPluginProcess({
    folder: folder.path,
    config: {
      providers: [
        { name: 'vault-prod', type: 'vault', allowInsecureHttp: true, ...transit.provider },
      ],
      rotation: { activationDelay: '0s' },
      health: { interval: '200ms', staleAfter: '90s' },
    },
  })
  const keyId = () =>
    plugin.client.v2.status().then(
      (status) => status.keyId,
      () => undefined,
    )
  const first = await until('the plugin is healthy', keyId)
  return {
    bao,
    transit,
    plugin,
    keyId,
    first,
    async [Symbol.asyncDispose]() {
      await plugin[Symbol.asyncDispose]()
      await bao[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'OK'
  } catch (error) {
    return (error as { status: string }).status
  }
}

test('a version below min_decryption_version is FAILED_PRECONDITION with the way out, and opens again when it is lowered [D4 F6]', async () => {
  await using one = await healthyPlugin()
  const { bao, transit, plugin, keyId, first } = one
  const old = await plugin.client.v2.encrypt({ plaintext: SEED, uid: 'u' })
  await bao.rotate(transit)
  await until('the key id follows', async () => (await keyId()) !== first)
  const config = `${transit.mount}/keys/${transit.key}/config`

  await bao.request('POST', config, { min_decryption_version: 2 })
  const said = await plugin.client.v2.decrypt({ ...old, uid: 'u' }).catch((error: Error) => error)
  assert.match((said as Error).message, /below min_decryption_version.*lower it/)
  assert.is(await codeOf(plugin.client.v2.decrypt({ ...old, uid: 'u' })), 'FAILED_PRECONDITION')
  assert.ok(await keyId(), 'what is new goes on')

  await bao.request('POST', config, { min_decryption_version: 1 })
  assert.is(await codeOf(plugin.client.v2.decrypt({ ...old, uid: 'u' })), 'OK')
})

test('a key that is deleted stops writes at once; made again it has another key id, an alarm, and does not open old data [S6 F9]', async () => {
  await using one = await healthyPlugin()
  const { bao, transit, plugin, keyId, first } = one
  const old = await plugin.client.v2.encrypt({ plaintext: SEED, uid: 'u' })
  const path = `${transit.mount}/keys/${transit.key}`
  await bao.request('POST', `${path}/config`, { deletion_allowed: true })
  const bornBefore = Math.floor(Date.now() / 1_000)

  await bao.request('DELETE', path)
  await until('Status stops', async () => (await codeOf(plugin.client.v2.status())) === 'NOT_FOUND')
  // Creation times have whole seconds: a key made again within the first one's could not be told apart.
  await until('another second has come', () => Math.floor(Date.now() / 1_000) > bornBefore)
  await bao.request('POST', path, {})

  const second = await until('it is well again', keyId)
  assert.is.not(second, first)
  assert.is((await plugin.told('key_recreated')).length, 1)
  assert.is(await codeOf(plugin.client.v2.decrypt({ ...old, uid: 'u' })), 'INVALID_ARGUMENT')
  const made = await plugin.client.v2.encrypt({ plaintext: SEED, uid: 'u' })
  assert.is(await codeOf(plugin.client.v2.decrypt({ ...made, uid: 'u' })), 'OK')
})

test.run()
