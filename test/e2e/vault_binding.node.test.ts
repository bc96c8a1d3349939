/**
 * The bundle at a server that ignores associated data, as HashiCorp Vault before 1.13
 * does, through that server's upgrade: nothing that was written is lost, and nothing is
 * written that the service could have bound to nothing. With such a Vault in OpenBao's
 * place it is really upgraded; otherwise a proxy takes the associated data away, until it
 * does no more.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { runProgram } from '../../src/cli/program.ts'
import { ANY, encodeEnvelope, inputsOf, sealHeader } from '../../src/kms/envelope.ts'
import { keyIdOf } from '../../src/kms/key_id.ts'
import { memoryIo } from '../_lib/console/memory_io.ts'
import { type PluginProcess, startPluginProcess } from '../_lib/plugin/process.ts'
import { vaultBinary } from '../_lib/services/vault/binary.ts'
import { startDeafProxy } from '../_lib/services/vault/deaf_proxy.ts'
import { since } from '../_lib/services/vault/key_server.ts'
import { type OpenBao, startOpenBao, type Transit } from '../_lib/services/vault/openbao.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const NEWEST = '1.21.0'
const test = suite('e2e/vault_binding', () => ({}))

async function setup() {
  const folder = await tempFolder()
  const bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path })
  const proxy = await startDeafProxy(bao.address)
  const start = async (fields: object = {}) => {
    const provider = { name: 'vault-prod', type: 'vault', allowInsecureHttp: true }
    const plugin = await startPluginProcess({
      folder: folder.path,
      config: {
        health: { interval: '1s', staleAfter: '10s' },
        stateDir: folder.at('state'),
        admin: { listen: `unix://${folder.at('admin.sock')}` },
        providers: [{ ...provider, ...transit.provider, address: proxy.address, ...fields }],
      },
    })
    await until('it is healthy', () => plugin.client.v2.status().catch(() => undefined))
    return plugin
  }
  return {
    folder,
    bao,
    transit,
    proxy,
    start,
    /** Of the server, on what the one before left. */
    async upgrade() {
      proxy.deaf = false
      if (since(13)) return
      await bao.stop()
      await bao.start(await vaultBinary(NEWEST))
    },
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]()
      await bao[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

test('what was written before an upgrade is read after it, by a plugin that goes on and by one that starts', async () => {
  await using one = await setup()
  const seed = randomBytes(32)
  await using plugin = await one.start()
  const { keyId } = await plugin.client.v2.status()
  assert.match(keyId, /^tr1-any-v1\.inside-/)
  const written = await plugin.client.v2.encrypt({ plaintext: seed, uid: 'before' })
  const old = await plugin.client.v1.encrypt(seed)
  assert.not.ok(one.proxy.unbound.includes(seed.toString('base64')), 'no wrap of it was unbound')
  await plugin.told('binding_inside')
  const doctor = await run('doctor', '--config', plugin.configPath, '--json')
  assert.match(doctor, /service-ignores-associated-data/)
  assert.match(await run('status', '--config', plugin.configPath), /bound inside their plaintext/)

  await one.upgrade()

  assert.equal(await opened(plugin, written), seed)
  await plugin.stop()
  await using next = await one.start()
  const after = await until('the first look, after the state that was kept', async () => {
    const status = await next.client.v2.status()
    return status.keyId.startsWith('tr1-any-v1-') ? status : undefined
  })
  assert.equal(await opened(next, written), seed)
  assert.equal(Buffer.from((await next.client.v1.decrypt(old.cipher)).plain), seed)
  const rewritten = await next.client.v2.encrypt({ plaintext: seed, uid: 'after' })
  assert.is(rewritten.keyId, after.keyId)
  assert.equal(await opened(next, rewritten), seed)
})

test('what nothing was bound to opens after an upgrade with allowUnboundDecrypt alone', async () => {
  await using one = await setup()
  one.proxy.deaf = false
  const seed = randomBytes(32)
  const lost = await unboundEnvelope(one.bao, one.transit, seed)
  await using strict = await one.start()
  const error = (await rejection(opened(strict, lost))) as Error
  assert.match(error.message, /allowUnboundDecrypt/)
  await strict.stop()

  await using willing = await one.start({ allowUnboundDecrypt: true })
  assert.equal(await opened(willing, lost), seed)
  await willing.told('opened_unbound')
  assert.match(
    await run('doctor', '--config', willing.configPath, '--json'),
    /unbound-decrypt-allowed/,
  )
})

test.run()

interface Written {
  readonly ciphertext: Uint8Array
  readonly keyId: string
  readonly annotations: Readonly<Record<string, Uint8Array>>
}

async function opened({ client }: PluginProcess, written: Written): Promise<Buffer> {
  return Buffer.from((await client.v2.decrypt({ ...written, uid: 'open' })).plaintext)
}

async function run(...args: string[]): Promise<string> {
  const io = memoryIo()
  await runProgram(args, io)
  return io.printed()
}

const keyRead = v.object({ data: v.object({ keys: v.record(v.string(), v.number()) }) })
const encrypted = v.object({ data: v.object({ ciphertext: v.string() }) })

/** As a version of the plugin that did not notice had it made. */
async function unboundEnvelope(
  bao: OpenBao,
  { mount, key }: Transit,
  seed: Buffer,
): Promise<Written> {
  const { keys } = v.parse(keyRead, await bao.request('GET', `${mount}/keys/${key}`)).data
  const providerId = `vault:${mount}/${key}`
  const inputs = inputsOf(ANY, [{ providerId, version: '1', createdAt: keys['1'] ?? 0 }])
  const body = { plaintext: seed.toString('base64') }
  const { data } = v.parse(encrypted, await bao.request('POST', `${mount}/encrypt/${key}`, body))
  const wrap = Buffer.from(data.ciphertext.slice('vault:v1:'.length), 'base64')
  const header = sealHeader(inputs, randomBytes)
  const ciphertext = encodeEnvelope(header, [{ member: 0, data: wrap }])
  return { ciphertext, keyId: keyIdOf(inputs), annotations: {} }
}
