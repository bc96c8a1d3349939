/**
 * Every type of key that the real server has: those that bind associated data serve,
 * the others are refused in words; and a key that was made elsewhere and imported.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import {
  constants,
  createCipheriv,
  createDecipheriv,
  publicEncrypt,
  randomBytes,
} from 'node:crypto'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { KmsError } from '../../../src/base/errors.ts'
import { KEY_SERVER, since } from '../../_lib/services/vault/key_server.ts'
import { type OpenBao, startOpenBao } from '../../_lib/services/vault/openbao.ts'
import { vaultProvider } from '../../_lib/services/vault/provider.ts'
import { type TempFolder, tempFolder } from '../../_lib/temp_folder.ts'
import { rejection, suite } from '../../_lib/uvu.ts'

const SEED = Buffer.from('0123456789abcdef0123456789abcdef')
const BOUND = Buffer.alloc(32, 0xd1)
const OTHER = Buffer.alloc(32, 0xd2)
const NONCE_BYTES = 12
const TAG_BYTES = 16
/** Of RFC 5649. */
const PADDED_WRAP_IV = Buffer.from('a65959a6', 'hex')

const AEAD = ['aes128-gcm96', 'aes256-gcm96', 'chacha20-poly1305']
if (KEY_SERVER.product === 'OpenBao') AEAD.push('xchacha20-poly1305')
const REFUSED = [
  { type: 'rsa-2048' },
  { type: 'ecdsa-p256' },
  { type: 'ed25519' },
  { type: 'aes256-gcm96', derived: true },
  { type: 'aes256-gcm96', derived: true, convergent_encryption: true },
]

const test = suite('services/vault/key_types', () => ({}))

async function server(): Promise<{ bao: OpenBao; folder: TempFolder } & AsyncDisposable> {
  const folder = await tempFolder()
  const bao = await startOpenBao()
  return {
    bao,
    folder,
    async [Symbol.asyncDispose]() {
      await bao[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

test('keys of every AEAD type wrap, open, rotate and bind associated data', async () => {
  await using one = await server()
  for (const type of AEAD) {
    const options = { folder: one.folder.path, mount: type, keySettings: { type } }
    const transit = await one.bao.setupTransit(options)
    await using provider = vaultProvider(transit.provider)

    const first = await provider.newest()
    const wrapped = await provider.wrap(first, SEED, BOUND)
    await one.bao.rotate(transit)
    const second = await provider.newest()
    const { versions } = await provider.keyState()

    assert.equal([first, second], ['1', '2'].map(labelled), type)
    assert.equal(
      versions.map(({ label }) => label),
      [first, second],
      type,
    )
    assert.equal(await provider.unwrap(first, wrapped, BOUND), SEED, type)
    const again = await provider.wrap(second, SEED, BOUND)
    assert.equal(await provider.unwrap(second, again, BOUND), SEED)
    const error = await rejection(provider.unwrap(first, wrapped, OTHER))
    assert.is((error as KmsError).code, 'ciphertext_invalid', type)
  }
})

test('a key that does not bind associated data, or wants a context, is refused before it is used', async () => {
  await using one = await server()
  for (const [at, keySettings] of REFUSED.entries()) {
    const options = { folder: one.folder.path, mount: `transit-${at}`, keySettings }
    const transit = await one.bao.setupTransit(options)
    await using provider = vaultProvider(transit.provider)

    const error = await rejection(provider.keyState())

    assert.instance(error, KmsError)
    assert.is((error as KmsError).code, 'key_unavailable')
    assert.match((error as KmsError).message, keySettings.derived ? 'is derived' : keySettings.type)
  }
})

test('an imported key serves, and what it wraps opens with the key material alone and its associated data', async () => {
  await using one = await server()
  const transit = await one.bao.setupTransit({ folder: one.folder.path })
  const path = `${transit.mount}/keys/${transit.key}`
  await one.bao.request('POST', `${path}/config`, { deletion_allowed: true })
  await one.bao.request('DELETE', path)
  const material = randomBytes(32)
  await one.bao.request('POST', `${path}/import`, {
    type: 'aes256-gcm96',
    hash_function: 'SHA256',
    ciphertext: await forImport(one.bao, transit.mount, material),
    allow_rotation: true,
  })
  await using provider = vaultProvider(transit.provider)

  const first = await provider.newest()
  const wrapped = await provider.wrap(first, SEED, BOUND)
  await one.bao.rotate(transit)
  const second = await provider.newest()

  // Before 1.13 Vault does not know associated data: what binds lies inside.
  const [data, plaintext] = since(13)
    ? [BOUND, SEED]
    : [Buffer.alloc(0), Buffer.concat([BOUND, SEED])]
  assert.equal(openWith(material, wrapped, data), plaintext)
  assert.throws(() => openWith(material, wrapped, OTHER), /unable to authenticate/)
  assert.equal(await provider.unwrap(first, wrapped, BOUND), SEED)
  const again = await provider.wrap(second, SEED, BOUND)
  assert.equal(await provider.unwrap(second, again, BOUND), SEED)
})

test.run()

/** As the provider calls a version on this server. */
function labelled(version: string): string {
  return since(13) ? version : `${version}.inside`
}

const wrappingKey = v.object({ data: v.object({ public_key: v.string() }) })

/** A key of one use wraps the material, and the server's own key wraps that one. */
async function forImport(bao: OpenBao, mount: string, material: Buffer): Promise<string> {
  const { data } = v.parse(wrappingKey, await bao.request('GET', `${mount}/wrapping_key`))
  const once = randomBytes(32)
  const cipher = createCipheriv('id-aes256-wrap-pad', once, PADDED_WRAP_IV)
  const padding = constants.RSA_PKCS1_OAEP_PADDING
  const outer = publicEncrypt({ key: data.public_key, padding, oaepHash: 'sha256' }, once)
  return Buffer.concat([outer, cipher.update(material), cipher.final()]).toString('base64')
}

function openWith(key: Buffer, wrapped: Uint8Array, associatedData: Buffer): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, wrapped.subarray(0, NONCE_BYTES))
  decipher.setAAD(associatedData)
  decipher.setAuthTag(wrapped.subarray(-TAG_BYTES))
  const sealed = wrapped.subarray(NONCE_BYTES, -TAG_BYTES)
  return Buffer.concat([decipher.update(sealed), decipher.final()])
}
