/**
 * Random and mutated input against the built bundle: the right codes, the process
 * alive, and nothing secret in the log at its most verbose level.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { create, toBinary } from '@bufbuild/protobuf'
import * as assert from 'uvu/assert'
import * as v1 from '../../src/grpc/v1beta1_pb.ts'
import * as v2 from '../../src/grpc/v2_pb.ts'
import { createKeyFile } from '../../src/services/local/key_file.ts'
import { type PluginProcess, startPluginProcess } from '../_lib/plugin/process.ts'
import { SeededRandom } from '../_lib/seeded_random.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const MESSAGES = 20_000
const RAW_CONNECTIONS = 400
const SIDE_BY_SIDE = 64
/** 32 bytes that can be found in any encoding of them. */
const PLANTED = Buffer.from('planted-seed-planted-seed-32byte')
/** OK is not among them for Decrypt: nothing random opens. */
const REFUSALS = new Set([3, 5, 9])

const test = suite('e2e/fuzz', () => ({}))

test(`${MESSAGES} bad messages and ${RAW_CONNECTIONS} connections of garbage [E10 D3 D10 T18 F8]`, async () => {
  const random = SeededRandom.announced('e2e/fuzz')
  await using folder = await tempFolder()
  await createKeyFile(folder.at('keys'), () => Date.now())
  await using plugin = await startPluginProcess({
    folder: folder.path,
    config: {
      providers: [{ name: 'here', type: 'local', keyFile: folder.at('keys') }],
      log: { level: 'debug', format: 'json' },
    },
  })
  const { client } = plugin
  await until('it is healthy', () =>
    client.v2.status().then(
      () => true,
      () => false,
    ),
  )
  const made = await client.v2.encrypt({ plaintext: PLANTED, uid: 'good' })
  const { cipher } = await client.v1.encrypt(PLANTED)
  const { ciphertext, keyId } = made
  const decrypt2 = (change: object) =>
    toBinary(
      v2.DecryptRequestSchema,
      create(v2.DecryptRequestSchema, { ciphertext, keyId, uid: 'u', ...change }),
    )
  const decrypt1 = (change: object) =>
    toBinary(
      v1.DecryptRequestSchema,
      create(v1.DecryptRequestSchema, { version: 'v1beta1', cipher, ...change }),
    )
  const V2 = '/v2.KeyManagementService'
  const V1 = '/v1beta1.KeyManagementService'

  const inputs: (() => [path: string, body: Uint8Array, mayBeOk: boolean])[] = [
    () => [`${V2}/Decrypt`, random.bytes(random.below(300)), false],
    () => [`${V2}/Decrypt`, decrypt2({ ciphertext: random.mutate(made.ciphertext) }), false],
    () => [`${V2}/Decrypt`, decrypt2({ ciphertext: random.bytes(random.below(1_200)) }), false],
    () => [`${V2}/Decrypt`, decrypt2({ keyId: `${made.keyId}${random.below(9)}` }), false],
    () => [`${V2}/Decrypt`, decrypt2({ annotations: { 'a.io': random.bytes(9) } }), false],
    () => [`${V2}/Decrypt`, random.mutate(decrypt2({})), true],
    () => [`${V1}/Decrypt`, decrypt1({ cipher: random.mutate(cipher) }), false],
    () => [`${V1}/Decrypt`, decrypt1({ cipher: random.bytes(random.below(70_000)) }), false],
    () => [`${V1}/Decrypt`, random.mutate(decrypt1({})), true],
    () => [`${V2}/Encrypt`, random.bytes(random.below(2_000)), true],
    () => [`${V1}/Encrypt`, random.bytes(random.below(2_000)), true],
    () => [`${V2}/Status`, random.bytes(random.below(50)), true],
    () => [`${V1}/Version`, random.bytes(random.below(50)), true],
  ]
  const seen = new Map<number, number>()
  let sent = 0
  const send = async () => {
    while (sent < MESSAGES) {
      sent += 1
      const [path, body, mayBeOk] = random.pick(inputs)()
      const code = await client.raw(path, body).then(
        () => 0,
        ({ code: failure }: { code: number }) => failure,
      )
      seen.set(code, (seen.get(code) ?? 0) + 1)
      assert.ok(REFUSALS.has(code) || (mayBeOk && code === 0), `${path} answered ${code}`)
    }
  }
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, send))
  for (let turn = 0; turn < RAW_CONNECTIONS; turn += 1) await garbage(plugin.socketPath, random)

  assert.ok((seen.get(3) ?? 0) > MESSAGES / 4, 'many INVALID_ARGUMENT')
  assert.ok((seen.get(5) ?? 0) > 100, 'some NOT_FOUND')
  const opened = await client.v2.decrypt({ ...made, uid: 'good' })
  assert.equal(Buffer.from(opened.plaintext), PLANTED)
  assert.is(await plugin.stop(), 0)
  await nothingSecret(plugin, folder.at('keys'), made.ciphertext)
})

/** Bytes that are no HTTP/2, or begin as if they were. */
async function garbage(path: string, random: SeededRandom): Promise<void> {
  const socket = connect(path)
  socket.on('error', () => undefined)
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  const body = random.bytes(random.below(400))
  socket.end(random.below(2) === 0 ? body : Buffer.concat([preface, body]))
  await once(socket.resume(), 'close')
}

async function nothingSecret(
  plugin: PluginProcess,
  keyFile: string,
  ciphertext: Uint8Array,
): Promise<void> {
  const output = plugin.output()
  const [, key = ''] = /"key": "([^"]+)"/.exec(await readFile(keyFile, 'utf8')) ?? []
  const secrets = [PLANTED, Buffer.from(key, 'base64'), Buffer.from(ciphertext)]
  assert.is(secrets[1]?.length, 32)
  assert.ok(output.split('\n').length > 300, 'the log is verbose')
  for (const secret of secrets) {
    for (const encoding of ['utf8', 'base64', 'base64url', 'hex'] as const) {
      assert.not.ok(
        output.includes(secret.toString(encoding).slice(0, 24)),
        `${encoding} of a secret`,
      )
    }
    assert.not.ok(output.includes([...secret.subarray(0, 8)].join(',')), 'bytes of a secret')
  }
}

test.run()
