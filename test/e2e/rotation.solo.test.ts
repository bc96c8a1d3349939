/** Rotations under load, on the real server and the built bundle. @module */

import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import { decodeEnvelope } from '../../src/kms/envelope.ts'
import { startOpenBao } from '../_lib/openbao.ts'
import { startPluginProcess } from '../_lib/plugin_process.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const ROTATIONS = 15
const ENCRYPTS = 3_000
const SIDE_BY_SIDE = 32
const SEED = Buffer.from('0123456789abcdef0123456789abcdef')

const test = suite('e2e/rotation', () => ({}), 110_000)

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

test.run()
