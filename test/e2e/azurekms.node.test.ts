/** The built bundle on a fake of Azure, through the socket as an API server uses it. */

import { Buffer } from 'node:buffer'
import { writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { MAX_V2_CIPHERTEXT_BYTES } from '../../src/base/limits.ts'
import { RUNTIMES, startPluginProcess } from '../_lib/plugin/process.ts'
import { startFakeAzure } from '../_lib/services/azure/fake.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const SEED = Buffer.from('0123456789abcdef0123456789abcdef')

const test = suite('e2e/azurekms', () => ({}))

for (const runtime of RUNTIMES) {
  for (const [what, options] of [
    ['an RSA key of 4096 bits', { bits: 4096 }],
    ['a managed HSM', { hsm: true }],
  ] as const) {
    test(`${runtime} with ${what}: seeds fit, a rotation is found, and nothing secret is printed [E2 R2 D4]`, async () => {
      await using folder = await tempFolder()
      await using azure = await startFakeAzure(options)
      const { tenantId, clientId, secret } = azure.tokens
      const secretFile = folder.at('secret')
      await writeFile(secretFile, secret)
      const login = { method: 'clientSecret', tenantId, clientId, secretFile }
      const servers = [azure.keys, azure.entra]
      await using plugin = await startPluginProcess({
        runtime,
        folder: folder.path,
        hosts: servers.map(({ address }) => new URL(address).host),
        config: {
          providers: [{ ...azure.config, login }],
          rotation: { activationDelay: '0s' },
          health: { interval: '100ms', staleAfter: '90s' },
        },
      })
      const { v2 } = plugin.client
      const keyIdNow = () =>
        v2.status().then(
          ({ keyId }) => keyId,
          () => undefined,
        )
      const first = await until('the plugin is healthy', keyIdNow)
      const old = await v2.encrypt({ plaintext: SEED, uid: 'u' })

      azure.rotate()
      await until('the key id follows', async () => (await keyIdNow()) !== first)
      const fresh = await v2.encrypt({ plaintext: SEED, uid: 'u' })

      assert.is.not(fresh.keyId, old.keyId)
      for (const one of [old, fresh]) {
        assert.ok(
          one.ciphertext.length <= MAX_V2_CIPHERTEXT_BYTES,
          `${one.ciphertext.length} bytes`,
        )
        const { plaintext } = await v2.decrypt({ ...one, annotations: {}, uid: 'u' })
        assert.equal(Buffer.from(plaintext), SEED)
      }
      for (const hidden of [secret, ...azure.tokens.issued.keys()]) {
        assert.not.ok(plugin.output().includes(hidden))
      }
      assert.is(azure.metadata.received.length, 0)
    })
  }
}

test.run()
