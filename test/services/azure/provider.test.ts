/** What the provider asks of a vault or managed HSM, and what it makes of the answers. */

import { Buffer } from 'node:buffer'
import { constants, hash, privateDecrypt, publicEncrypt } from 'node:crypto'
import * as assert from 'uvu/assert'
import { SEED_BYTES } from '../../../src/base/limits.ts'
import type { Outcome } from '../../../src/base/provider.ts'
import { limitsOf } from '../../../src/services/azure/key.ts'
import { azureVersion } from '../../../src/takeover/azure.ts'
import type { FakeVersion } from '../../_lib/services/azure/fake/keys.ts'
import { type AzureSetup, azureSetup } from '../../_lib/services/azure/setup.ts'
import { suite } from '../../_lib/uvu.ts'

const DIGEST = Buffer.alloc(32, 9)
const ITEM = { plaintext: Buffer.from('planted-plaintext'), associatedData: DIGEST }
const OAEP = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' } as const

const test = suite('services/azure/provider', () => ({}))

function valueIn(outcome: Outcome<Uint8Array> | undefined): Buffer {
  if (outcome?.ok !== true) throw outcome?.error ?? new Error('No outcome')
  return Buffer.from(outcome.value)
}

function codeOf(outcome: Outcome<Uint8Array> | undefined): string {
  if (outcome === undefined) return 'missing'
  return outcome.ok ? 'ok' : outcome.error.code
}

function newestOf({ azure }: AzureSetup): FakeVersion {
  const version = azure.state.versions.at(-1)
  if (version === undefined) throw new Error('The fake has no version')
  return version
}

function rsaOf({ material }: FakeVersion) {
  if (material.type !== 'rsa') throw new Error('The fake has no RSA key')
  return material
}

async function wrapOne(one: AzureSetup, version = newestOf(one).id): Promise<Buffer> {
  const [outcome] = await one.limited((call) => one.provider.wrap(version, [ITEM], call))
  return valueIn(outcome)
}

async function unwrapOne(one: AzureSetup, bytes: Uint8Array, version = newestOf(one).id) {
  const item = { version, bytes, associatedData: DIGEST }
  return (await one.limited((call) => one.provider.unwrap([item], call)))[0]
}

test('wrap() in a vault names the version and puts the digest inside the plaintext [E10]', async () => {
  await using one = await azureSetup()
  const { id } = newestOf(one)

  const wrap = await wrapOne(one)

  const { method, path, query, headers, text } = one.azure.keys.received.at(-1) ?? {}
  assert.equal([method, path], ['POST', `/keys/k8s-etcd/${id}/encrypt`])
  assert.is(String(query), 'api-version=7.4')
  assert.is(headers?.authorization, `Bearer ${[...one.azure.tokens.issued.keys()].at(-1)}`)
  assert.equal(JSON.parse(text ?? ''), {
    alg: 'RSA-OAEP-256',
    value: Buffer.concat([DIGEST, ITEM.plaintext]).toString('base64url'),
  })
  const opened = privateDecrypt({ key: rsaOf(newestOf(one)).privateKey, ...OAEP }, wrap)
  assert.equal(opened, Buffer.concat([DIGEST, ITEM.plaintext]))
})

test('a wrap that somebody made with the public key opens under its own digest alone, and that is warned of [E10]', async () => {
  await using one = await azureSetup()
  const forged = publicEncrypt(
    { key: rsaOf(newestOf(one)).publicKey, ...OAEP },
    Buffer.concat([Buffer.alloc(32, 8), ITEM.plaintext]),
  )
  const short = publicEncrypt({ key: rsaOf(newestOf(one)).publicKey, ...OAEP }, Buffer.alloc(9))

  assert.is(codeOf(await unwrapOne(one, forged)), 'ciphertext_invalid')
  assert.is(codeOf(await unwrapOne(one, short)), 'ciphertext_invalid')
  assert.ok(one.events.notices().includes('wraps_forgeable'))
})

test('a managed HSM binds the digest as associated data, and iv and tag go into the wrap', async () => {
  await using one = await azureSetup({ hsm: true })

  const wrap = await wrapOne(one)

  const body = JSON.parse(one.azure.keys.received.at(-1)?.text ?? '')
  assert.equal(body, {
    alg: 'A256GCM',
    value: ITEM.plaintext.toString('base64url'),
    aad: DIGEST.toString('base64url'),
  })
  assert.is(wrap.length, ITEM.plaintext.length + 28)
  assert.equal(valueIn(await unwrapOne(one, wrap)), ITEM.plaintext)
  assert.not.ok(one.events.notices().includes('wraps_forgeable'))
})

for (const [bits, longest] of [
  [2048, 158],
  [3072, 286],
  [4096, 414],
] as const) {
  test(`a key of ${bits} bits takes ${longest} bytes beside the digest, and one more is too many`, async () => {
    await using one = await azureSetup({ bits, change: { keySize: bits } })
    const { limits } = one.provider
    const { id: version } = newestOf(one)
    const item = (length: number) => ({
      plaintext: Buffer.alloc(length, 1),
      associatedData: DIGEST,
    })

    const items = [item(longest), item(longest + 1)]
    const [good, bad] = await one.limited((call) => one.provider.wrap(version, items, call))

    assert.is(limits.plaintextBytes, longest)
    assert.is(valueIn(good).length, bits / 8)
    assert.ok(bits / 8 <= limits.overheadBytes)
    assert.is(codeOf(bad), 'protocol')
  })
}

test('without keySize the limits hold for every size', () => {
  const { plaintextBytes, overheadBytes } = limitsOf('RSA-OAEP-256', undefined)

  assert.equal([plaintextBytes, overheadBytes], [158, 512])
  assert.ok(plaintextBytes >= SEED_BYTES)
})

test('keyState() tells what each version may do by its dates and switches, oldest first over all pages', async () => {
  await using one = await azureSetup()
  const { state, keys } = one.azure
  for (let made = 0; made < 5; made += 1) one.azure.rotate()
  const now = Math.floor(Date.now() / 1000)
  const [a, b, c, d, e, f] = state.versions
  assert.ok(a && b && c && d && e && f)
  a.enabled = false
  b.exp = now - 5
  c.nbf = now + 500
  d.nbf = now - 500
  d.exp = now + 500
  e.operations = ['decrypt', 'sign']
  state.pageSize = 4

  const { versions, selectable, serviceTime } = await one.limited((call) =>
    one.provider.keyState(call),
  )

  assert.equal(
    versions.map(({ label, mayEncrypt, mayDecrypt }) => [label, mayEncrypt, mayDecrypt]),
    [
      [a.id, false, false],
      [b.id, false, true],
      [c.id, false, true],
      [d.id, true, true],
      [e.id, false, true],
      [f.id, true, true],
    ],
  )
  assert.ok(selectable)
  assert.ok(Math.abs((serviceTime ?? 0) - Date.now()) < 60_000)
  assert.equal(
    keys.received.map(({ path }) => path.split('/').at(-1)),
    ['versions', 'versions', ...[d.id, e.id, f.id]],
  )
  const [notice] = one.events.noticesOf('key_version_unfit')
  assert.match(notice?.message ?? '', `Version ${e.id} of key "k8s-etcd" does not allow encrypt`)
})

test('each version is looked at once', async () => {
  await using one = await azureSetup()
  const ask = () => one.limited((call) => one.provider.keyState(call))
  await ask()
  const before = one.azure.keys.received.length

  await ask()
  one.azure.rotate()
  await ask()

  assert.is(one.azure.keys.received.length, before + 3)
})

test('a link to more versions that leads elsewhere is not followed', async () => {
  for (const nextLink of [
    'https://evil.example/keys/k8s-etcd/versions?api-version=7.4',
    'https://fake-vault.vault.azure.net/secrets/other?api-version=7.4',
    'nonsense',
  ]) {
    await using one = await azureSetup()
    one.azure.rotate()
    Object.assign(one.azure.state, { pageSize: 1, nextLink })

    const error = await failureOf(one, 'keyState')

    assert.is(error.code, 'protocol')
    assert.is(one.azure.keys.received.length, 1)
  }
})

test('an expired version decrypts, a disabled one says so', async () => {
  await using one = await azureSetup()
  const wrap = await wrapOne(one)
  const version = newestOf(one)

  version.exp = 1
  const expired = await unwrapOne(one, wrap)
  const refused = await one.limited((call) => one.provider.wrap(version.id, [ITEM], call))
  version.enabled = false
  const disabled = await unwrapOne(one, wrap)

  assert.is(codeOf(expired), 'ok')
  assert.is(codeOf(refused[0]), 'key_unavailable')
  assert.is(codeOf(disabled), 'key_unavailable')
})

test('a key without a usable version says why', async () => {
  const cases: readonly (readonly [
    (version: FakeVersion) => unknown,
    RegExp,
    Readonly<Record<string, unknown>>?,
  ])[] = [
    [(version) => (version.enabled = false), /the newest, [0-9a-f]{32}, is disabled$/],
    [(version) => (version.exp = 1), /is expired$/],
    [(version) => (version.nbf = 9e9), /is not valid yet$/],
    [() => undefined, /has 2048 bits, but keySize says 4096$/, { keySize: 4096 }],
    [(version) => (version.operations = []), /does not allow encrypt and decrypt: /],
  ]
  for (const [damage, message, change = {}] of cases) {
    await using one = await azureSetup({ change })
    damage(newestOf(one))

    const error = await failureOf(one, 'keyState')

    assert.is(error.code, 'key_unavailable')
    assert.match(error.message, message)
  }
})

test('a key of another kind is refused', async () => {
  await using one = await azureSetup({ hsm: true, change: { algorithm: 'RSA-OAEP-256' } })

  const error = await failureOf(one, 'keyState')

  assert.is(error.code, 'key_unavailable')
  assert.match(error.message, /has type oct-HSM, but RSA-OAEP-256 needs RSA$/)
})

test('an answer under another version than the one asked for is refused', async () => {
  await using one = await azureSetup()
  const wrap = await wrapOne(one)
  one.azure.state.answersAs = 'f'.repeat(32)

  const [wrapped] = await one.limited((call) => one.provider.wrap(newestOf(one).id, [ITEM], call))

  assert.is(codeOf(wrapped), 'protocol')
  assert.is(codeOf(await unwrapOne(one, wrap)), 'protocol')
})

test('a version label that is none never becomes part of a path', async () => {
  await using one = await azureSetup()
  const before = one.azure.keys.received.length

  for (const version of ['../../secrets/x', '', `RSA1_5/${newestOf(one).id}`, 'F'.repeat(32)]) {
    const [wrapped] = await one.limited((call) => one.provider.wrap(version, [ITEM], call))
    assert.is(codeOf(wrapped), 'key_unavailable')
    assert.is(codeOf(await unwrapOne(one, Buffer.alloc(256), version)), 'key_unavailable')
  }

  assert.is(one.azure.keys.received.length, before)
})

test('what Azure/kubernetes-kms wrapped opens without a digest, under the algorithm of its label', async () => {
  await using one = await azureSetup()
  const { id } = newestOf(one)
  const seed = Buffer.alloc(32, 5)
  const { publicKey } = rsaOf(newestOf(one))
  const keyId = hash('sha256', `https://fake-vault.vault.azure.net/keys/k8s-etcd/${id}`, 'hex')
  const v2 = publicEncrypt({ key: publicKey, ...OAEP }, seed)
  const v1 = publicEncrypt({ key: publicKey, padding: constants.RSA_PKCS1_PADDING }, seed)
  const items = [
    { version: azureVersion('v2', keyId), bytes: v2, associatedData: undefined },
    { version: azureVersion('v1beta1', undefined), bytes: v1, associatedData: undefined },
    { version: azureVersion('v2', '0'.repeat(64)), bytes: v2, associatedData: undefined },
    { version: 'A256GCM/*', bytes: v2, associatedData: undefined },
  ]

  const outcomes = await one.limited((call) => one.provider.unwrap(items, call))

  assert.equal(outcomes.map(codeOf), ['ok', 'ok', 'key_unknown', 'key_unavailable'])
  assert.equal(valueIn(outcomes[0]), seed)
  assert.equal(valueIn(outcomes[1]), seed)
})

async function failureOf(one: AzureSetup, method: 'keyState') {
  const outcome = await one
    .limited((call) => one.provider[method](call))
    .then(
      () => undefined,
      (error: unknown) => error,
    )
  if (!(outcome instanceof Error) || !('code' in outcome)) throw new Error('Expected a failure')
  return outcome
}

test.run()
