/**
 * Bugs of other plugins that lost Secrets, tested on the built bundle and the real OpenBao: a
 * static token that is no longer valid must never lead to an empty ciphertext (Trousseau 1 and 2),
 * and such a ciphertext that is stored already must be recognised. Other bugs of the kind are
 * tested elsewhere: a login after a 403 in e2e/outage, both kinds of stored ciphertexts in
 * takeover/foreign and e2e/takeover_vault, `:authority` in grpc/server.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { RpcError } from '../../src/grpc/client.ts'
import { startPluginProcess } from '../_lib/plugin/process.ts'
import { startOpenBao } from '../_lib/services/vault/openbao.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const test = suite('e2e/peers', setup)

async function setup() {
  const folder = await tempFolder()
  const bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path })
  const tokenFile = folder.at('token')
  const giveToken = async () => writeFile(tokenFile, await transit.login(), { mode: 0o600 })
  await giveToken()
  const plugin = await startPluginProcess({
    folder: folder.path,
    config: {
      providers: [
        {
          name: 'vault-prod',
          type: 'vault',
          allowInsecureHttp: true,
          ...transit.provider,
          auth: { method: 'token', tokenFile },
        },
      ],
      statusVersion: 'v2beta1',
    },
  })
  await until('Encrypt works', () =>
    plugin.client.v1.encrypt(randomBytes(32)).then(
      () => true,
      () => false,
    ),
  )
  return {
    transit,
    plugin,
    giveToken,
    async [Symbol.asyncDispose]() {
      await plugin[Symbol.asyncDispose]()
      await bao[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

async function statusOf(promise: Promise<unknown>): Promise<string> {
  const error = await rejection(promise)
  assert.instance(error, RpcError)
  return (error as RpcError).status
}

test('a static token that was revoked makes errors and no empty answer, until its file has another', async (all) => {
  await using one = all
  const { client } = one.plugin
  const plaintext = randomBytes(32)
  const { cipher } = await client.v1.encrypt(plaintext)
  const made = await client.v2.encrypt({ plaintext, uid: 'u' })
  await one.transit.revokeTokens()

  const failed = [
    client.v1.encrypt(plaintext),
    client.v1.decrypt(cipher),
    client.v2.encrypt({ plaintext, uid: 'u' }),
    client.v2.decrypt({ ...made, uid: 'u' }),
  ].map(statusOf)
  assert.equal(
    await Promise.all(failed),
    failed.map(() => 'PERMISSION_DENIED'),
  )

  await one.giveToken()
  const { plain } = await until('Decrypt works', () =>
    client.v1.decrypt(cipher).catch(() => undefined),
  )
  assert.equal(Buffer.from(plain), plaintext)
})

test('a socket that said v2beta1 says nothing else, also after an outage [S3]', async (all) => {
  await using one = all
  const { client } = one.plugin
  const version = async () => (await client.v2.status()).version
  const before = await until('Status is ok', () => version().catch(() => undefined))
  await one.transit.revokeTokens()
  await statusOf(client.v1.encrypt(randomBytes(32)))
  await one.giveToken()

  const after = await until('Status is ok again', () => version().catch(() => undefined))

  assert.equal([before, after], ['v2beta1', 'v2beta1'])
})

test('an empty ciphertext has an error that says what happened', async (all) => {
  await using one = all
  const { client } = one.plugin
  const { keyId } = await client.v2.status()
  const cipher = new Uint8Array()

  const v1 = (await rejection(client.v1.decrypt(cipher))) as RpcError
  const v2 = (await rejection(
    client.v2.decrypt({ ciphertext: cipher, keyId, uid: 'u', annotations: {} }),
  )) as RpcError

  assert.equal([v1.status, v2.status], ['INVALID_ARGUMENT', 'INVALID_ARGUMENT'])
  assert.match(v1.message, /lost the key of this object/)
  assert.match(v2.message, /empty/)
})

test.run()
