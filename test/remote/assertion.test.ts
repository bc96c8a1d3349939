import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { jwtVerify } from 'jose'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { KmsError } from '../../src/base/errors.ts'
import { assertionConfig, readAssertionKey, signAssertion } from '../../src/remote/assertion.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'

const CALL = { signal: new AbortController().signal, deadline: Number.POSITIVE_INFINITY }
const NOON = Date.UTC(2026, 10, 23, 12)

const test = suite('remote/assertion', () => ({}))

const rsa = () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve }).privateKey
const ed25519 = () => generateKeyPairSync('ed25519').privateKey
const pem = (key: KeyObject, type: 'pkcs8' | 'pkcs1' | 'sec1') =>
  key.export({ type, format: 'pem' }).toString()
const jwk = (key: KeyObject) => JSON.stringify(key.export({ format: 'jwk' }))

const FORMS: readonly [form: string, algorithm: string, make: () => [KeyObject, string]][] = [
  ['PKCS#8 P-256', 'ES256', () => both(ec('P-256'), (key) => pem(key, 'pkcs8'))],
  ['SEC1 P-256', 'ES256', () => both(ec('P-256'), (key) => pem(key, 'sec1'))],
  ['JWK P-256', 'ES256', () => both(ec('P-256'), jwk)],
  ['PKCS#8 P-384', 'ES384', () => both(ec('P-384'), (key) => pem(key, 'pkcs8'))],
  ['PKCS#8 Ed25519', 'EdDSA', () => both(ed25519(), (key) => pem(key, 'pkcs8'))],
  ['JWK Ed25519', 'EdDSA', () => both(ed25519(), jwk)],
  ['PKCS#1 RSA, as kubeadm writes it', 'RS256', () => both(rsa(), (key) => pem(key, 'pkcs1'))],
  ['PKCS#8 RSA', 'RS256', () => both(rsa(), (key) => pem(key, 'pkcs8'))],
  ['JWK RSA', 'RS256', () => both(rsa(), jwk)],
]

function both(key: KeyObject, text: (key: KeyObject) => string): [KeyObject, string] {
  return [key, text(key)]
}

async function keyFrom(text: string) {
  await using folder = await tempFolder()
  const path = folder.at('key')
  await writeFile(path, text)
  return await readAssertionKey(path)
}

function config(change: object = {}) {
  const base = { keyFile: '/key', audience: 'vault', subject: 'kms:test:cp-1' }
  return v.parse(assertionConfig, { ...base, ...change })
}

for (const [form, algorithm, make] of FORMS) {
  test(`${form} signs with ${algorithm}, and its public half verifies`, async () => {
    const [key, text] = make()

    const jwt = await signAssertion(await keyFrom(text), config(), NOON, CALL)

    const { payload, protectedHeader } = await jwtVerify(jwt, createPublicKey(key), {
      audience: 'vault',
      subject: 'kms:test:cp-1',
      currentDate: new Date(NOON),
    })
    assert.equal(protectedHeader, { alg: algorithm, typ: 'JWT' })
    assert.is(payload.iat, NOON / 1000 - 60)
    assert.is(payload.exp, NOON / 1000 + 300)
    assert.is(payload.nbf, NOON / 1000 - 60)
  })
}

test('issuer, key id and further claims are put in, and no two JWTs are the same', async () => {
  const key = ed25519()
  const own = await keyFrom(pem(key, 'pkcs8'))
  const options = config({
    issuer: 'us',
    keyId: 'k1',
    lifetime: '1m',
    claims: { node: 'cp-1', control: true },
  })

  const jwts = await Promise.all([1, 2].map(() => signAssertion(own, options, NOON, CALL)))

  const [one, two] = await Promise.all(
    jwts.map((jwt) => jwtVerify(jwt, createPublicKey(key), { currentDate: new Date(NOON) })),
  )
  assert.is(one?.protectedHeader.kid, 'k1')
  assert.is(one?.payload.iss, 'us')
  assert.is(one?.payload['node'], 'cp-1')
  assert.is(one?.payload['control'], true)
  assert.is(one?.payload.exp, NOON / 1000 + 60)
  assert.is.not(one?.payload.jti, two?.payload.jti)
})

test('claims that are made here cannot be given', () => {
  for (const name of ['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti']) {
    assert.not(v.is(assertionConfig, { ...config(), lifetime: '5m', claims: { [name]: 'x' } }))
  }
})

const encrypted = () =>
  ec('P-256')
    .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'planted' })
    .toString()
const short = () => pem(generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey, 'pkcs1')
const publicHalf = () =>
  createPublicKey(ec('P-256')).export({ type: 'spki', format: 'pem' }).toString()
const REFUSED: readonly [what: string, text: () => string, message: RegExp][] = [
  ['an encrypted key', encrypted, /is encrypted/],
  ['a public key', publicHalf, /holds no key/],
  ['a short RSA key', short, /another kind/],
  ['a key for another purpose', () => pem(x25519(), 'pkcs8'), /another kind/],
  ['text', () => 'planted', /holds no key/],
  ['JSON that is no key', () => '{"kty":"planted"}', /holds no key/],
  ['nothing', () => '', /holds no key/],
]

function x25519(): KeyObject {
  return generateKeyPairSync('x25519').privateKey
}

for (const [what, text, message] of REFUSED) {
  test(`${what} is refused, with what is wanted, and shows nothing of itself`, async () => {
    const error = await rejection(keyFrom(text()))

    assert.instance(error, KmsError)
    const { code, message: said } = error as KmsError
    assert.is(code, 'denied')
    assert.match(said, message)
    assert.match(said, /wanted an unencrypted private key/)
    assert.not.match(said, /planted/)
  })
}

test('a file that is not there is named', async () => {
  const error = await rejection(readAssertionKey('/nonexistent/key'))

  assert.match(String(error), /"\/nonexistent\/key" of auth\.selfSigned\.keyFile/)
})

test.run()
