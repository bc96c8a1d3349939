/** The signature of a release. test/build/release.test.ts shows that openssl accepts it. @module */

import { Buffer } from 'node:buffer'
import { createPrivateKey, generateKeyPairSync } from 'node:crypto'
import * as assert from 'uvu/assert'
import { signature } from '../../build/sign.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('build/sign', () => ({}))
const utf8 = new TextEncoder()
const PEM = { type: 'pkcs8', format: 'pem' } as const

function base64url(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64url')
}

test('signature() is that of RFC 6979, A.2.5', () => {
  const jwk = {
    kty: 'EC',
    crv: 'P-256',
    d: base64url('c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721'),
    x: base64url('60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6'),
    y: base64url('7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299'),
  }
  const pem = createPrivateKey({ key: jwk, format: 'jwk' }).export(PEM).toString()
  const r = '00efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716'
  const s = '00f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8'

  const der = Buffer.from(signature(utf8.encode('sample'), pem), 'base64')

  assert.is(der.toString('hex'), `30460221${r}0221${s}`)
})

test('signature() refuses what is no EC P-256 private key in PEM, and prints nothing of it', () => {
  const own = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const others = {
    'of another curve': generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export(PEM),
    'of RSA': generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey.export(PEM),
    'of Ed25519': generateKeyPairSync('ed25519').privateKey.export(PEM),
    public: own.publicKey.export({ type: 'spki', format: 'pem' }),
    'with a passphrase': own.privateKey.export({ ...PEM, cipher: 'aes-256-cbc', passphrase: 'x' }),
    'cut short': own.privateKey.export(PEM).slice(0, 90),
    empty: '',
  }
  for (const [what, pem] of Object.entries(others)) {
    assert.throws(
      () => signature(utf8.encode('sample'), String(pem)),
      (error: Error) => error.message === 'Wanted an EC P-256 private key in PEM',
      what,
    )
  }
})

test.run()
