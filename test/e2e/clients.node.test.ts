/**
 * A grpc-js and a grpc-go client on one socket, against the built bundle on Node and
 * on Deno, over the real OpenBao and over a key file.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import { decodeEnvelope } from '../../src/kms/envelope.ts'
import { createKeyFile } from '../../src/services/local/key_file.ts'
import { buildGoClient } from '../_lib/go/client.ts'
import { type PluginProcess, RUNTIMES, startPluginProcess } from '../_lib/plugin/process.ts'
import { startOpenBao } from '../_lib/services/vault/openbao.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const test = suite('e2e/clients', () => ({}))

/** Config of one provider, the hosts it speaks to, and how to end what it needs. */
interface Backend extends AsyncDisposable {
  readonly provider: Readonly<Record<string, unknown>>
  readonly hosts: readonly string[]
}

const BACKENDS: Readonly<Record<string, (folder: TempFolder) => Promise<Backend>>> = {
  local: async (folder) => {
    await createKeyFile(folder.at('keys'), () => Date.now())
    const provider = { name: 'here', type: 'local', keyFile: folder.at('keys') }
    return { provider, hosts: [], [Symbol.asyncDispose]: () => Promise.resolve() }
  },
  vault: async (folder) => {
    const bao = await startOpenBao()
    const transit = await bao.setupTransit({ folder: folder.path })
    const provider = { name: 'v', type: 'vault', allowInsecureHttp: true, ...transit.provider }
    return { provider, hosts: [bao.host], [Symbol.asyncDispose]: () => bao[Symbol.asyncDispose]() }
  },
}

async function ready({ client }: PluginProcess): Promise<string> {
  return await until('Status is ok', () =>
    client.v2.status().then(
      ({ keyId }) => keyId,
      () => undefined,
    ),
  )
}

for (const runtime of RUNTIMES) {
  for (const [type, start] of Object.entries(BACKENDS)) {
    test(`${type} on ${runtime}: both clients run all methods of v2 and v1beta1 [S1 S2 S4 E1 E3 D1 T1 T3 V1 V2 V4 V6]`, async () => {
      await using folder = await tempFolder()
      await using backend = await start(folder)
      const { provider, hosts } = backend
      const config = { providers: [provider], admin: { listen: '127.0.0.1:0' } }
      await using plugin = await startPluginProcess({ runtime, folder: folder.path, config, hosts })
      const keyId = await ready(plugin)
      assert.is((await stat(plugin.socketPath)).mode & 0o777, 0o600)

      await grpcJs(plugin, keyId)
      for (const authority of ['localhost', 'default']) {
        const { stdout } = await promisify(execFile)(await buildGoClient(), [
          '-socket',
          plugin.socketPath,
          '-authority',
          authority,
        ])
        assert.is(JSON.parse(stdout).ok, true, stdout)
      }
      assert.is(await plugin.stop(), 0, plugin.output())
    })
  }
}

async function grpcJs({ client }: PluginProcess, keyId: string): Promise<void> {
  const { v1, v2 } = client
  const status = await v2.status()
  assert.equal([status.version, status.healthz, status.keyId], ['v2', 'ok', keyId])
  const seed = randomBytes(32)
  const made = await v2.encrypt({ plaintext: seed, uid: 'grpc-js' })
  assert.is(made.keyId, keyId)
  assert.is(decodeEnvelope(made.ciphertext).keyId, keyId)
  assert.ok(made.ciphertext.length < 300)
  const opened = await v2.decrypt({ ...made, uid: 'grpc-js' })
  assert.equal(Buffer.from(opened.plaintext), seed)

  const version = await v1.version()
  assert.equal([version.version, version.runtimeName], ['v1beta1', 'trousseau'])
  for (const plain of [Buffer.from('ping'), seed]) {
    const { cipher } = await v1.encrypt(plain)
    assert.equal(Buffer.from((await v1.decrypt(cipher)).plain), plain)
  }
}

test.run()
