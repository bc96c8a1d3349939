import { Buffer } from 'node:buffer'
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import * as assert from 'uvu/assert'
import { KmsError } from '../../src/base/errors.ts'
import { HASH_OF } from '../../src/base/signing_key.ts'
import { verificationKey, verifies } from '../../src/signer/verification_key.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('signer/verification_key', () => ({}))

const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve })
const rsa = (modulusLength: number) => generateKeyPairSync('rsa', { modulusLength })
const der = (key: KeyObject) => new Uint8Array(key.export({ type: 'spki', format: 'der' }))

test('the algorithm comes from the key, and the header has alg, kid and typ alone [J10]', async () => {
  const pairs = { ES256: ec('P-256'), ES384: ec('P-384'), ES512: ec('P-521'), RS256: rsa(2048) }
  for (const [alg, { publicKey, privateKey }] of Object.entries(pairs)) {
    const key = verificationKey(der(publicKey), 'It')
    const input = Buffer.from('header.claims')
    const options = { key: privateKey, dsaEncoding: 'ieee-p1363' } as const
    const signature = sign(HASH_OF[key.algorithm], input, options)

    assert.is(key.algorithm, alg)
    const header = JSON.parse(Buffer.from(key.header, 'base64url').toString())
    assert.equal(Object.entries(header), [
      ['alg', alg],
      ['kid', key.kid],
      ['typ', 'JWT'],
    ])
    assert.ok(await verifies(key, input, signature))
    assert.not.ok(await verifies(key, Buffer.from('header.others'), signature))
    assert.not.ok(await verifies(key, input, signature.subarray(1)))
    assert.not.ok(await verifies(key, input, new Uint8Array()))
  }
})

test('the name is the hash of the public key, as API servers name keys of files [J14]', () => {
  const spki = der(ec('P-256').publicKey)
  const wanted = createHash('sha256').update(spki).digest('base64url')

  assert.is(verificationKey(spki, 'It').kid, wanted)
  assert.is(wanted.length, 43)
})

test('keys that API servers would refuse the whole set for are refused, with their name [J7]', () => {
  const unfit = {
    'a curve without an algorithm': der(ec('secp256k1').publicKey),
    Ed25519: der(generateKeyPairSync('ed25519').publicKey),
    'a short RSA key': der(rsa(1024).publicKey),
    'no key': Buffer.from('no key'),
    nothing: new Uint8Array(),
  }
  for (const [what, spki] of Object.entries(unfit)) {
    assert.throws(
      () => verificationKey(spki, 'Version 7'),
      (error: unknown) =>
        error instanceof KmsError &&
        error.code === 'key_unavailable' &&
        error.message.startsWith('Version 7 cannot check tokens'),
      what,
    )
  }
})

test.run()
