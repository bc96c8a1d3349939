import { Buffer } from 'node:buffer'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { KmsError } from '../../src/base/errors.ts'
import { generateRecoveryKey, thumbprintOf } from '../../src/recovery/jwk.ts'
import {
  isEncrypted,
  loadRecoverySealer,
  readPrivateKey,
  writeKeyPair,
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

test('a file that asks for too many iterations is refused before the first one', async () => {
  await using folder = await tempFolder()
  const { privateJwk } = await generateRecoveryKey('P-256')
  const path = folder.at('key')
  await writePrivateKey(path, privateJwk, PASSPHRASE)
  const [header = '', ...rest] = (await readFile(path, 'utf8')).split('.')
  const asked = { ...JSON.parse(Buffer.from(header, 'base64url').toString()), p2c: 10_000_001 }
  const changed = Buffer.from(JSON.stringify(asked)).toString('base64url')
  await writeFile(path, [changed, ...rest].join('.'))

  const error = await rejection(readPrivateKey(path, PASSPHRASE))

  assert.match(String((error as Error).cause), /p2c/)
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
    /cannot be read: there is no such file or folder$/,
  )
})

test('a point that is not on the curve is refused', async () => {
  await using folder = await tempFolder()
  const { publicJwk } = await generateRecoveryKey('P-256')
  const path = folder.at('key')
  await writeFile(path, JSON.stringify({ ...publicJwk, y: publicJwk.x }))

  const message = await problemOf(loadRecoverySealer([path]))
  assert.match(message, /has a key that nothing can be encrypted to/)
  assert.ok(message.includes(path))
})

test('a point that shares a secret with everybody is refused, and its file named', async () => {
  await using folder = await tempFolder()
  const good = await generateRecoveryKey('X25519')
  await writePublicKey(folder.at('good'), good.publicJwk)
  const path = folder.at('low')
  // The points of low order that RFC 7748 §6.1 is about: 0, 1, and two of order 8.
  for (const hex of [
    '00'.repeat(32),
    `01${'00'.repeat(31)}`,
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  ]) {
    const x = Buffer.from(hex, 'hex').toString('base64url')
    await writeFile(path, JSON.stringify({ kty: 'OKP', crv: 'X25519', x }))

    const message = await problemOf(loadRecoverySealer([folder.at('good'), path]))

    assert.match(message, /has a key that nothing can be encrypted to/)
    assert.ok(message.includes(path))
  }
})

test('a second spelling of a key is no second recipient', async () => {
  await using folder = await tempFolder()
  const path = folder.at('key')
  const x25519 = (await generateRecoveryKey('X25519')).publicJwk
  const p256 = (await generateRecoveryKey('P-256')).publicJwk
  // 43 characters hold two bits more than 32 bytes.
  const spelled = (text: string) => `${text.slice(0, -1)}${nextCharacter(text.slice(-1))}`
  const highBit = Buffer.from(x25519.x, 'base64url')
  highBit[31] = (highBit[31] ?? 0) | 0x80

  for (const other of [
    { ...x25519, x: spelled(x25519.x) },
    { ...x25519, x: highBit.toString('base64url') },
    { ...x25519, x: `${x25519.x}=` },
    { ...p256, x: spelled(p256.x) },
    { ...p256, y: spelled('y' in p256 ? p256.y : '') },
  ]) {
    await writeFile(path, JSON.stringify(other))
    assert.match(await problemOf(loadRecoverySealer([path])), /is not a public JWK/)
  }
})

/** One that decodes to the same bytes at the end of 32. */
function nextCharacter(last: string): string {
  const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return digits[digits.indexOf(last) + 1] ?? '-'
}

test('a pair is written whole or not at all', async () => {
  await using folder = await tempFolder()
  const pair = await generateRecoveryKey('P-256')
  await writeFile(folder.at('key.pub.json'), 'kept')

  assert.match(
    await problemOf(writeKeyPair(folder.at('key'), pair, undefined)),
    /key\.pub\.json" is there already, and nothing is overwritten$/,
  )

  assert.equal(await readdir(folder.path), ['key.pub.json'])
  assert.is(await readFile(folder.at('key.pub.json'), 'utf8'), 'kept')
})

test.run()
