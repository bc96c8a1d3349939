/** What recovery recipients get, and what nobody else does. */

import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { generalDecrypt, importJWK, type JWK } from 'jose'
import * as assert from 'uvu/assert'
import { KmsError } from '../../src/base/errors.ts'
import {
  createRecoverySealer,
  MAX_RECIPIENTS,
  openRecoveryAnnotation,
  recipientsOf,
} from '../../src/recovery/annotation.ts'
import { generateRecoveryKey, parsePrivateJwk, RECOVERY_CURVES } from '../../src/recovery/jwk.ts'
import { rejection, suite } from '../_lib/uvu.ts'
import VECTOR from '../vectors/recovery.json' with { type: 'json' }

const SEED = Buffer.from('0123456789abcdef0123456789abcdef')
const DIGEST = Buffer.alloc(32, 0xd1)

const test = suite('recovery/annotation', async () => {
  const keys = await Promise.all([...RECOVERY_CURVES, 'P-256' as const].map(generateRecoveryKey))
  const sealer = await createRecoverySealer(keys.map(({ publicJwk }) => publicJwk))
  const annotation = await sealer.seal(SEED, DIGEST)
  return { keys, sealer, annotation, text: Buffer.from(annotation).toString() }
})

function at<T>(items: readonly T[], index: number): T {
  const item = items[index]
  if (item === undefined) throw new Error('Not so many')
  return item
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await rejection(promise)
  assert.instance(error, KmsError)
  return (error as KmsError).code
}

test('each recipient opens alone, on either curve', async ({ keys, annotation }) => {
  for (const { privateJwk } of keys) {
    const opened = await openRecoveryAnnotation(annotation, privateJwk, DIGEST)
    assert.equal(Buffer.from(opened), SEED)
  }
})

test('a single recipient opens, and nothing else can be put in its place', async () => {
  const { publicJwk, privateJwk } = await generateRecoveryKey('X25519')
  const sealer = await createRecoverySealer([publicJwk])

  const annotation = await sealer.seal(SEED, DIGEST)

  const opened = await openRecoveryAnnotation(annotation, privateJwk, DIGEST)
  assert.equal(Buffer.from(opened), SEED)
  const other = randomBytes(32)
  assert.is(
    await codeOf(openRecoveryAnnotation(annotation, privateJwk, other)),
    'ciphertext_invalid',
  )
})

test('plain jose opens it too, as the docs show', async ({ keys, text }) => {
  const { privateJwk, thumbprint } = at(keys, 1)
  const jwe = JSON.parse(text)
  const recipients = jwe.recipients.filter(
    ({ header }: { header: { kid: string } }) => header.kid === thumbprint,
  )

  const key = await importJWK(privateJwk as JWK, 'ECDH-ES+A256KW')
  const { plaintext } = await generalDecrypt({ ...jwe, recipients }, key)

  assert.equal(Buffer.from(plaintext), SEED)
})

test('the test vector opens', async () => {
  const { seed, headerDigest, privateKey, annotation } = VECTOR

  const opened = await openRecoveryAnnotation(
    Buffer.from(annotation),
    parsePrivateJwk(JSON.stringify(privateKey), 'vector'),
    Buffer.from(headerDigest, 'hex'),
  )

  assert.is(Buffer.from(opened).toString('hex'), seed)
})

test('recipients are named by sorted thumbprints', ({ keys, sealer, annotation }) => {
  const thumbprints = keys.map(({ thumbprint }) => thumbprint).toSorted((a, b) => (a < b ? -1 : 1))

  assert.equal(sealer.thumbprints, thumbprints)
  assert.equal(recipientsOf(annotation), thumbprints)
})

test('another key opens nothing, and the error names who could', async ({ keys, annotation }) => {
  const { privateJwk } = await generateRecoveryKey('P-256')

  const error = await rejection(openRecoveryAnnotation(annotation, privateJwk, DIGEST))

  assert.is((error as KmsError).code, 'key_unknown')
  assert.match((error as KmsError).message, keys[0]?.thumbprint ?? '-')
})

test('another key under the name of a recipient opens nothing', async ({ keys, text }) => {
  const { privateJwk, thumbprint } = await generateRecoveryKey('P-256')
  const renamed = Buffer.from(text.replaceAll(keys[0]?.thumbprint ?? '-', thumbprint))

  assert.is(await codeOf(openRecoveryAnnotation(renamed, privateJwk, DIGEST)), 'ciphertext_invalid')
})

test('the annotation of another envelope is refused, also with its associated data exchanged', async ({
  keys,
  annotation,
  text,
}) => {
  const { privateJwk } = at(keys, 0)
  const other = randomBytes(32)
  const moved = JSON.stringify({ ...JSON.parse(text), aad: other.toString('base64url') })

  assert.is(
    await codeOf(openRecoveryAnnotation(annotation, privateJwk, other)),
    'ciphertext_invalid',
  )
  assert.is(
    await codeOf(openRecoveryAnnotation(Buffer.from(moved), privateJwk, other)),
    'ciphertext_invalid',
  )
})

test('a change in any part is refused', async ({ keys, text }) => {
  const { privateJwk, thumbprint } = at(keys, 0)
  const whole = JSON.parse(text)
  const own = whole.recipients.find(
    ({ header }: { header: { kid: string } }) => header.kid === thumbprint,
  )
  const flip = (value: string) => `${value.startsWith('A') ? 'B' : 'A'}${value.slice(1)}`
  const changed = [
    ...['iv', 'ciphertext', 'tag'].map((part) => ({ ...whole, [part]: flip(whole[part]) })),
    { ...whole, recipients: [{ ...own, encrypted_key: flip(own.encrypted_key) }] },
    { ...whole, recipients: [] },
    { ...whole, recipients: [{ ...own, header: { ...own.header, alg: 'dir' } }] },
    { ...whole, protected: Buffer.from('{"enc":"A128GCM"}').toString('base64url') },
    [],
  ].map((value) => Buffer.from(JSON.stringify(value)))

  for (const bytes of [...changed, Buffer.from('{'), Buffer.alloc(0), Buffer.alloc(40_000, '{')]) {
    assert.is(await codeOf(openRecoveryAnnotation(bytes, privateJwk, DIGEST)), 'ciphertext_invalid')
  }
})

test('it holds neither seed nor private key, and no two are alike', async ({
  keys,
  sealer,
  text,
}) => {
  for (const { privateJwk } of keys) assert.not.match(text, privateJwk.d)
  for (const form of ['hex', 'base64', 'base64url', 'latin1'] as const) {
    assert.not.ok(text.includes(SEED.toString(form)))
  }
  assert.is.not(Buffer.from(await sealer.seal(SEED, DIGEST)).toString(), text)
})

test('a recipient twice is refused', async ({ keys }) => {
  const { publicJwk } = at(keys, 0)

  assert.is(await codeOf(createRecoverySealer([publicJwk, publicJwk])), 'request_invalid')
})

test('it stays below the sizes that the docs state', async () => {
  for (const [count, most] of [
    [1, 600],
    [2, 850],
    [4, 1_450],
    [MAX_RECIPIENTS, 2_650],
  ] as const) {
    const keys = await Promise.all(
      Array.from({ length: count }, () => generateRecoveryKey('P-256')),
    )
    const sealer = await createRecoverySealer(keys.map(({ publicJwk }) => publicJwk))
    const { length } = await sealer.seal(SEED, DIGEST)
    assert.ok(length <= most, `${count} recipients: ${length} bytes`)
  }
})

test.run()
