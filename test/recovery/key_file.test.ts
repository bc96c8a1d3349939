import { readFile, stat, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { KmsError } from '../../src/kms/errors.ts'
import { generateRecoveryKey, thumbprintOf } from '../../src/recovery/jwk.ts'
import {
  isEncrypted,
  loadRecoverySealer,
  readPrivateKey,
  writePrivateKey,
  writePublicKey,
} from '../../src/recovery/key_file.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'

const PASSPHRASE = 'correct horse battery staple'

const test = suite('recovery/key_file', () => ({}))

async function problemOf(promise: Promise<unknown>): Promise<string> {
  const error = await rejection(promise)
  assert.instance(error, KmsError)
  assert.is((error as KmsError).code, 'request_invalid')
  return (error as KmsError).message
}

test('a private key comes back from a file of mode 0600, with a passphrase and without', async () => {
  await using folder = await tempFolder()
  const { privateJwk } = await generateRecoveryKey('X25519')

  for (const passphrase of [undefined, PASSPHRASE]) {
    const path = folder.at(`key-${passphrase === undefined}`)
    await writePrivateKey(path, privateJwk, passphrase)

    assert.equal(await readPrivateKey(path, passphrase), privateJwk)
    assert.is((await stat(path)).mode & 0o777, 0o600)
    assert.is(await isEncrypted(path), passphrase !== undefined)
    assert.is((await readFile(path, 'utf8')).includes(privateJwk.d), passphrase === undefined)
  }
})

test('a wrong passphrase, none, and a damaged file say so and nothing else', async () => {
  await using folder = await tempFolder()
  const { privateJwk } = await generateRecoveryKey('P-256')
  const path = folder.at('key')
  await writePrivateKey(path, privateJwk, PASSPHRASE)

  assert.match(await problemOf(readPrivateKey(path, 'another')), /the passphrase is another one/)
  assert.match(await problemOf(readPrivateKey(path, undefined)), /a passphrase is wanted$/)
  await writeFile(path, (await readFile(path, 'utf8')).slice(0, -9))
  assert.match(await problemOf(readPrivateKey(path, PASSPHRASE)), /or the file is damaged$/)
})

test('nothing is ever overwritten', async () => {
  await using folder = await tempFolder()
  const { privateJwk, publicJwk } = await generateRecoveryKey('P-256')
  await writePrivateKey(folder.at('key'), privateJwk, undefined)
  const before = await readFile(folder.at('key'), 'utf8')

  for (const again of [
    () => writePrivateKey(folder.at('key'), privateJwk, PASSPHRASE),
    () => writePublicKey(folder.at('key'), publicJwk),
  ]) {
    assert.match(await problemOf(again()), /is there already, and nothing is overwritten$/)
  }

  assert.is(await readFile(folder.at('key'), 'utf8'), before)
})

test('loadRecoverySealer() takes public keys', async () => {
  await using folder = await tempFolder()
  const keys = await Promise.all([generateRecoveryKey('P-256'), generateRecoveryKey('X25519')])
  for (const [at, { publicJwk }] of keys.entries()) {
    await writePublicKey(folder.at(String(at)), publicJwk)
  }

  const { thumbprints } = await loadRecoverySealer([folder.at('0'), folder.at('1')])

  const wanted = await Promise.all(keys.map(({ publicJwk }) => thumbprintOf(publicJwk)))
  assert.equal(new Set(thumbprints), new Set(wanted))
})

test('what is no public key is refused without a word of it', async () => {
  await using folder = await tempFolder()
  const { privateJwk, publicJwk } = await generateRecoveryKey('P-256')
  const path = folder.at('key')

  for (const [content, problem] of [
    [privateJwk, /holds a private key: it must not come near the cluster/],
    [{ ...publicJwk, crv: 'P-384' }, /is not a public JWK on P-256 or X25519/],
    [{ ...publicJwk, x: `${publicJwk.x}A` }, /is not a public JWK/],
    [{ ...publicJwk, alg: 'RSA-OAEP' }, /is not a public JWK/],
    [{ ...publicJwk, more: 1 }, /is not a public JWK/],
    [[publicJwk], /is not a public JWK/],
  ] as const) {
    await writeFile(path, JSON.stringify(content))
    const message = await problemOf(loadRecoverySealer([path]))
    assert.match(message, problem)
    assert.not.match(message, publicJwk.x)
  }
  for (const text of ['', '{', 'x'.repeat(20_000)]) {
    await writeFile(path, text)
    await problemOf(loadRecoverySealer([path]))
  }
  assert.match(
    await problemOf(loadRecoverySealer([folder.at('none')])),
    /cannot be read \(ENOENT\)$/,
  )
})

test('a point that is not on the curve is refused', async () => {
  await using folder = await tempFolder()
  const { publicJwk } = await generateRecoveryKey('P-256')
  const path = folder.at('key')
  await writeFile(path, JSON.stringify({ ...publicJwk, y: publicJwk.x }))

  assert.match(await problemOf(loadRecoverySealer([path])), /is not a point of its curve/)
})

test.run()
