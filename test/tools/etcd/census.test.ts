import { Buffer } from 'node:buffer'
import { create, toBinary } from '@bufbuild/protobuf'
import * as assert from 'uvu/assert'
import { keyIdHash } from '../../../src/base/key_id_hash.ts'
import { ANY, encodeEnvelope, inputsOf, sealHeader } from '../../../src/kms/envelope.ts'
import { keyIdOf } from '../../../src/kms/key_id.ts'
import { type Census, type CensusOptions, takeCensus } from '../../../src/tools/etcd/census.ts'
import { EncryptedObjectSchema } from '../../../src/tools/etcd/encrypted_object_pb.ts'
import type { ObjectSource } from '../../../src/tools/etcd/source.ts'
import { VERDICTS, type Verdict } from '../../../src/tools/etcd/verdict.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('tools/etcd/census', () => ({}))

const DATA = Buffer.alloc(90, 1)
const EMPTY_KEY = Buffer.concat([Buffer.from('k8s:enc:kms:v1:old:\0\0'), DATA])
const PLAIN = Buffer.from('k8s\0in the clear')

/** An envelope under the providers named, and its key id. */
function envelope(seed: number, ...providerIds: string[]) {
  const members = providerIds.map((providerId) => ({ providerId, version: '3', createdAt: 9 }))
  const inputs = inputsOf(ANY, members)
  const header = sealHeader(inputs, (bytes) => new Uint8Array(bytes).fill(seed))
  const wraps = members.map((_, member) => ({ member, data: Buffer.from(`wrap ${seed}`) }))
  return { source: encodeEnvelope(header, wraps), keyId: keyIdOf(inputs) }
}

function v2(keyId: string, source: Uint8Array, annotations = {}): Buffer {
  const object = create(EncryptedObjectSchema, {
    encryptedData: DATA,
    keyID: keyId,
    encryptedDEKSource: source,
    encryptedDEKSourceType: 1,
    annotations,
  })
  return Buffer.concat([Buffer.from('k8s:enc:kms:v2:tr:'), toBinary(EncryptedObjectSchema, object)])
}

function v1(wrapped: Uint8Array): Buffer {
  const length = Buffer.from([wrapped.length >> 8, wrapped.length & 255])
  return Buffer.concat([Buffer.from('k8s:enc:kms:v1:tr:'), length, wrapped, DATA])
}

function census(
  values: readonly Buffer[],
  options: Partial<CensusOptions> = {},
  keyOf = (at: number) => `/registry/secrets/default/${at}`,
): Promise<Census> {
  const objects = values.map((value, at) => ({
    key: Buffer.from(keyOf(at)),
    value,
    modRevision: 1n,
  }))
  const source: ObjectSource = {
    revision: 5n,
    count: objects.length,
    async *pages() {
      yield await Promise.resolve(objects.slice(0, 2))
      yield objects.slice(2)
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
  return takeCensus(source, { prefix: '/registry', ...options })
}

function totalsOf(given: Partial<Record<Verdict, number>>): Record<Verdict, number> {
  return { ...Object.fromEntries(VERDICTS.map((each) => [each, 0])), ...given } as Record<
    Verdict,
    number
  >
}

test('takeCensus() counts by resource, provider and key id, and each different seed once', async () => {
  const [a, b] = [envelope(1, 'x', 'y'), envelope(2, 'x', 'y')]
  const other = Buffer.from('of another plugin')
  const { rows, objects, decrypts, revision } = await census([
    v2(a.keyId, a.source),
    v2(a.keyId, a.source),
    v2(b.keyId, b.source),
    v2('other', other),
    v2('other', other, { 'a.b': Buffer.from('1') }),
    v2('other', other, { 'a.b': Buffer.from('2') }),
  ])
  assert.is(a.keyId, b.keyId)
  assert.is(objects, 6)
  assert.is(revision, 5n)
  assert.is(decrypts, 5)
  assert.equal(
    rows.map(({ keyId, objects: count, decrypts: calls }) => [keyId, count, calls]),
    [
      [a.keyId, 3, 2],
      ['other', 3, 3],
    ],
  )
  const [row] = rows
  assert.is(row?.provider, 'tr')
  assert.is(row?.keyIdHash, keyIdHash(a.keyId))
  assert.equal(
    row?.protection?.members.map(({ providerId }) => providerId),
    ['x', 'y'],
  )
})

test('takeCensus() calls stale what is not under a wanted key id, whatever it is under', async () => {
  const [now, before] = [envelope(1, 'x', 'y'), envelope(2, 'x', 'z')]
  const values = [
    v2(now.keyId, now.source),
    v2(before.keyId, before.source),
    v2('other', Buffer.from('x')),
    v1(Buffer.from('wrapped')),
    v1(now.source),
    Buffer.from(`k8s:enc:aescbc:v1:k:${'x'.repeat(40)}`),
  ]
  const { totals } = await census(values, { wanted: { keyIds: new Set([now.keyId]) } })
  assert.equal(totals, totalsOf({ ok: 1, stale: 5 }))
  const two = await census(values, { wanted: { keyIds: new Set([now.keyId, 'other']) } })
  assert.equal(two.totals, totalsOf({ ok: 2, stale: 4 }))
  assert.equal((await census(values)).totals, totalsOf({ ok: 6 }))
})

test('takeCensus() calls degraded what fewer providers wrote than there are', async () => {
  const [full, less] = [envelope(1, 'x', 'y'), envelope(2, 'x')]
  const values = [v2(full.keyId, full.source), v2(less.keyId, less.source)]
  const keyIds = new Set([full.keyId])
  assert.equal(
    (await census(values, { wanted: { keyIds } })).totals,
    totalsOf({ ok: 1, degraded: 1 }),
  )
  const away = { keyIds: new Set([less.keyId]), providers: 2 }
  assert.equal((await census(values, { wanted: away })).totals, totalsOf({ stale: 1, degraded: 1 }))
})

test('takeCensus() finds envelopes that Decrypt would refuse [D3] [D5]', async () => {
  const { source, keyId } = envelope(1, 'x')
  const { rows, totals } = await census([
    v2('another', source),
    v2(keyId, source.subarray(0, -1)),
    v1(source.subarray(0, -1)),
  ])
  assert.equal(totals, totalsOf({ damaged: 3 }))
  const problems = rows.map(({ problem }) => problem)
  assert.ok(problems.includes('its key id is not that of its envelope'))
  assert.ok(problems.includes('its envelope is damaged'))
})

test('takeCensus() tells what is lost and what is in the clear, with the names of the first few', async () => {
  const values = [
    ...Array.from({ length: 7 }, () => EMPTY_KEY),
    PLAIN,
    Buffer.from('12345'),
    Buffer.from('k8s:enc:new:x'),
  ]
  const { rows, totals } = await census(values)
  assert.equal(totals, totalsOf({ 'empty-key': 7, plaintext: 1, damaged: 1, unknown: 1 }))
  const lost = rows.find(({ verdict }) => verdict === 'empty-key')
  assert.equal(
    lost?.examples,
    [0, 1, 2, 3, 4].map((at) => `/registry/secrets/default/${at}`),
  )
})

test('takeCensus() wants encrypted: secrets, what else is encrypted in part, and what it is told', async () => {
  const { source, keyId } = envelope(1, 'x')
  const keys = [
    'configmaps/a/1',
    'configmaps/a/2',
    'pods/a/1',
    'example.org/widgets/a/1',
    'masterleases/10.0.0.1',
    'ranges/serviceips',
  ]
  const keyOf = (at: number) => `/registry/${keys[at]}`
  const values = [v2(keyId, source), PLAIN, PLAIN, Buffer.from('{}'), PLAIN, PLAIN]
  const plain = await census(values, {}, keyOf)
  assert.equal(
    plain.totals,
    totalsOf({ ok: 1, plaintext: 1, unencrypted: 2, 'never-encrypted': 2 }),
  )
  const told = await census(values, { resources: ['widgets.example.org'] }, keyOf)
  assert.equal(told.totals, totalsOf({ ok: 1, plaintext: 2, unencrypted: 1, 'never-encrypted': 2 }))
  const all = await census(values, { resources: ['*'] }, keyOf)
  assert.equal(all.totals, totalsOf({ ok: 1, plaintext: 3, 'never-encrypted': 2 }))
})

test('takeCensus() tells after each page how far it is, and counts one call of Decrypt for each object of KMS v1', async () => {
  const seen: number[] = []
  const values = [1, 2, 3].map((byte) => v1(Buffer.alloc(40, byte)))
  const { decrypts } = await census(values, { onProgress: (objects) => seen.push(objects) })
  assert.equal(seen, [2, 3])
  assert.is(decrypts, 3)
})

test.run()
