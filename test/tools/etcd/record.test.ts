import { Buffer } from 'node:buffer'
import { create, toBinary } from '@bufbuild/protobuf'
import * as assert from 'uvu/assert'
import { EncryptedObjectSchema } from '../../../src/tools/etcd/encrypted_object_pb.ts'
import { readRecord, type StoredRecord } from '../../../src/tools/etcd/record.ts'
import { readStoredV2 } from '../../_lib/cluster/stored.ts'
import { SeededRandom } from '../../_lib/seeded_random.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('tools/etcd/record', () => ({}))

const V2 = 'k8s:enc:kms:v2:trousseau:'
const V1 = 'k8s:enc:kms:v1:'
const PAYLOAD = Buffer.alloc(90, 7)
const OBJECT = {
  encryptedData: PAYLOAD,
  keyID: 'key',
  encryptedDEKSource: Buffer.from('wrapped'),
}
const MUTATIONS = 20_000

interface Fields {
  readonly encryptedData?: Uint8Array
  readonly keyID?: string
  readonly encryptedDEKSource?: Uint8Array
  readonly annotations?: Record<string, Uint8Array>
  readonly encryptedDEKSourceType?: number
}

function v2({ encryptedDEKSourceType = 1, ...changes }: Fields = {}) {
  const object = create(EncryptedObjectSchema, { ...OBJECT, ...changes })
  // The compiler would take the numbers of today only.
  Object.assign(object, { encryptedDEKSourceType })
  return Buffer.concat([Buffer.from(V2), toBinary(EncryptedObjectSchema, object)])
}

function v1(provider: string, wrapped: Uint8Array, payload: Uint8Array = PAYLOAD) {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(wrapped.length)
  return Buffer.concat([Buffer.from(`${V1}${provider}:`), length, wrapped, payload])
}

function problemOf(record: StoredRecord): string | undefined {
  return record.form === 'damaged' ? record.problem : undefined
}

for (const [what, value, wanted] of [
  ['protobuf', 'k8s\0abc', { form: 'plaintext', encoding: 'protobuf' }],
  ['JSON', '{"kind":"Widget"}', { form: 'plaintext', encoding: 'json' }],
  ['text', '12345', { form: 'foreign' }],
  ['nothing', '', { form: 'foreign' }],
  ['half a prefix', 'k8s:en', { form: 'foreign' }],
  ['another cipher', 'k8s:enc:new:v9:key:abc', { form: 'unknown-encryption' }],
  ['a later KMS', 'k8s:enc:kms:v3:trousseau:abc', { form: 'unknown-encryption' }],
  ['aescbc', `k8s:enc:aescbc:v1:one:${'x'.repeat(32)}`, staticKey('aescbc', 'one')],
  ['aesgcm', `k8s:enc:aesgcm:v1:two:${'x'.repeat(32)}`, staticKey('aesgcm', 'two')],
  ['secretbox', `k8s:enc:secretbox:v1:k3:${'x'.repeat(48)}`, staticKey('secretbox', 'k3')],
] as const) {
  test(`readRecord() tells ${what}`, () => {
    assert.equal(readRecord(Buffer.from(value)), wanted)
  })
}

test('readRecord() tells CBOR', () => {
  const value = Uint8Array.of(0xd9, 0xd9, 0xf7, 0xa0)
  assert.equal(readRecord(value), { form: 'plaintext', encoding: 'cbor' })
})

test('readRecord() of KMS v2 agrees with a decoder of its own, and copies no data', () => {
  const annotations = { 'recovery.trousseau.io': Buffer.from('jwe'), 'a.b': Buffer.from([0, 255]) }
  for (const encryptedDEKSourceType of [0, 1]) {
    const value = v2({ annotations, encryptedDEKSourceType })
    const record = readRecord(value)
    if (record.form !== 'kms-v2') return assert.unreachable(record.form)
    const stored = readStoredV2(value)
    assert.is(record.provider, stored.provider)
    assert.is(record.keyId, stored.keyId)
    assert.is(record.sourceType, stored.sourceType === 0 ? 'key' : 'seed')
    assert.equal(Buffer.from(record.source), stored.wrappedSeed)
    assert.equal(Buffer.from(record.encryptedData), stored.payload)
    const read = Object.entries(record.annotations).map(([name, bytes]) => [
      name,
      Buffer.from(bytes),
    ])
    assert.equal(Object.fromEntries(read), stored.annotations)
    assert.is(record.encryptedData.buffer, value.buffer)
  }
})

for (const [what, changes, problem] of [
  ['no key id [S7]', { keyID: '' }, /no key id/],
  ['a key id of 1025 bytes [S7]', { keyID: 'é'.repeat(513) }, /key id is too long/],
  ['no wrapped key', { encryptedDEKSource: Buffer.alloc(0) }, /wrapped key is empty/],
  ['a long one [E2]', { encryptedDEKSource: Buffer.alloc(1025) }, /wrapped key is too long/],
  ['no data', { encryptedData: Buffer.alloc(0) }, /no data/],
  ['59 bytes under a seed', { encryptedData: Buffer.alloc(59) }, /shorter than nonce/],
  ['another type', { encryptedDEKSourceType: 2 }, /not known/],
  ['an annotation no API server takes [E5]', { annotations: { a: PAYLOAD } }, /domain name/],
  ['too long ones [E6]', { annotations: { 'a.b': Buffer.alloc(32_766) } }, /annotations are too/],
] as const) {
  test(`readRecord() calls KMS v2 with ${what} damaged`, () => {
    assert.match(problemOf(readRecord(v2(changes))) ?? '', problem)
  })
}

test('readRecord() takes what stands exactly at the limits', () => {
  const values = [
    v2({ keyID: 'k'.repeat(1024), encryptedDEKSource: Buffer.alloc(1024) }),
    v2({ encryptedData: Buffer.alloc(60) }),
    v2({ encryptedDEKSourceType: 0, encryptedData: Buffer.alloc(28) }),
    v2({ annotations: { 'a.b': Buffer.alloc(32_765) } }),
  ]
  for (const value of values) assert.is(readRecord(value).form, 'kms-v2')
})

test('readRecord() calls KMS v2 damaged that ends too early, or has no provider', () => {
  // The last field is the type: without it this would be one of Kubernetes 1.27.
  const whole = v2().subarray(0, -2)
  for (let length = V2.length + 1; length < whole.length; length += 1) {
    assert.is(readRecord(whole.subarray(0, length)).form, 'damaged', String(length))
  }
  assert.match(problemOf(readRecord(Buffer.from('k8s:enc:kms:v2:trousseau'))) ?? '', /does not end/)
  assert.match(problemOf(readRecord(Buffer.from('k8s:enc:kms:v2::x'))) ?? '', /does not end/)
})

for (const provider of ['trousseau', 'a:b', 'vault:transit:key-1', 'schlüssel']) {
  test(`readRecord() finds a wrapped key of KMS v1 behind the name "${provider}"`, () => {
    for (const wrapped of [
      Buffer.from('vault:v1:AbCd=='),
      Buffer.alloc(300, 58),
      Buffer.alloc(4096),
    ]) {
      const record = readRecord(v1(provider, wrapped))
      if (record.form !== 'kms-v1') return assert.unreachable(record.form)
      assert.is(record.provider, provider)
      assert.equal(Buffer.from(record.wrappedKey), wrapped)
      assert.equal(Buffer.from(record.encryptedData), PAYLOAD)
    }
  })
}

test('readRecord() tells an empty wrapped key of Trousseau 1.x from damage', () => {
  const record = readRecord(v1('vaultprovider', Buffer.alloc(0)))
  assert.equal(record, { form: 'empty-key', provider: 'vaultprovider' })
  assert.is(readRecord(v1('vaultprovider', Buffer.alloc(0), Buffer.alloc(27))).form, 'damaged')
  assert.is(readRecord(v1('p', Buffer.alloc(40)).subarray(0, 60)).form, 'damaged')
  for (const short of ['', 'p', 'p:', 'p:\0', ':\0\0']) {
    assert.is(readRecord(Buffer.from(`${V1}${short}`)).form, 'damaged', short)
  }
})

test('readRecord() throws at nothing, and gives nothing of the value away in a problem', () => {
  const random = SeededRandom.announced('etcd/record')
  const originals = [v2(), v1('p', Buffer.from('wrapped')), Buffer.from('k8s:enc:aesgcm:v1:k:xyz')]
  for (let round = 0; round < MUTATIONS; round += 1) {
    const record = readRecord(random.mutate(random.pick(originals)))
    if (record.form === 'damaged') assert.not.match(record.problem, 'wrapped:')
  }
})

function staticKey(cipher: string, keyName: string): StoredRecord {
  return { form: 'static-key', cipher, keyName }
}

test.run()
