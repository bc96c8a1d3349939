import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import * as assert from 'uvu/assert'
import { KmsError } from '../../../src/base/errors.ts'
import { ObjectOpener } from '../../../src/tools/etcd/object_opener.ts'
import { readRecord, type V1Record, type V2Record } from '../../../src/tools/etcd/record.ts'
import type { SourceOpener } from '../../../src/tools/etcd/source_opener.ts'
import { bytesOf, secretBytes, v1Value, v2Value } from '../../_lib/tools/stored_objects.ts'
import { rejection, suite } from '../../_lib/uvu.ts'

const ETCD_KEY = '/registry/secrets/default/db'
const PLAINTEXT = secretBytes({ name: 'db', namespace: 'default' }, [['password', 'hunter2']])
/** More wrapped keys than are kept at once. */
const MANY = 1_500

const test = suite('tools/etcd/object_opener', () => ({}))

/** A plugin whose ciphertext is the seed itself, turned around. */
function reversing() {
  const handed: Uint8Array[] = []
  const opener: SourceOpener = {
    name: 'reversing',
    open({ ciphertext }) {
      const unwrapped = Uint8Array.from(ciphertext).reverse()
      handed.push(unwrapped)
      return Promise.resolve({ unwrapped, differs: undefined })
    },
  }
  return { opener, handed }
}

function recordOf(value: Uint8Array): V1Record | V2Record {
  const record = readRecord(value)
  if (record.form === 'kms-v1' || record.form === 'kms-v2') return record
  throw new Error(`Unexpected form ${record.form}`)
}

async function v2Record(seed: Uint8Array, keyId = '1', annotations = {}) {
  const ciphertext = Uint8Array.from(seed).reverse()
  const parts = { etcdKey: ETCD_KEY, plaintext: PLAINTEXT, seed, ciphertext, keyId, annotations }
  return recordOf(await v2Value(parts))
}

test('one wrapped key is opened once, however many objects it encrypts, also at the same time', async () => {
  const { opener, handed } = reversing()
  const objects = new ObjectOpener([opener])
  const [seed, other] = [randomBytes(32), randomBytes(32)]
  const records = [await v2Record(seed), await v2Record(seed), await v2Record(other)]

  for (let round = 0; round < 3; round += 1) {
    const opened = await Promise.all(records.map((each) => objects.open(each, bytesOf(ETCD_KEY))))
    for (const { plaintext, by } of opened) {
      assert.equal(plaintext, PLAINTEXT)
      assert.is(by, 'reversing')
    }
  }

  assert.equal([handed.length, objects.asked], [2, 2])
})

test('another key id or another annotation is another question', async () => {
  const { opener } = reversing()
  const objects = new ObjectOpener([opener])
  const seed = randomBytes(32)
  const annotations = [
    { 'a.example.org': Buffer.from('bc') },
    { 'a.example.org': Buffer.from('b') },
  ]
  const records = [
    await v2Record(seed),
    await v2Record(seed, '2'),
    ...(await Promise.all(annotations.map((each) => v2Record(seed, '1', each)))),
  ]

  for (const record of records) await objects.open(record, bytesOf(ETCD_KEY))

  assert.is(objects.asked, 4)
})

test('what was unwrapped is overwritten at the end, and when it was kept for long enough', async () => {
  const { opener, handed } = reversing()
  const objects = new ObjectOpener([opener])
  const isGone = (seed: Uint8Array) => seed.every((byte) => byte === 0)
  for (let at = 0; at < MANY; at += 1) {
    const key = randomBytes(32)
    const wrappedKey = Uint8Array.from(key).reverse()
    const value = await v1Value({ etcdKey: ETCD_KEY, plaintext: PLAINTEXT, key, wrappedKey })
    assert.equal((await objects.open(recordOf(value), bytesOf(ETCD_KEY))).plaintext, PLAINTEXT)
  }
  const goneBefore = handed.filter(isGone).length
  assert.ok(goneBefore > 0 && goneBefore < MANY, String(goneBefore))
  assert.not.ok(isGone(handed.at(-1) ?? new Uint8Array()))

  objects.close()
  await Promise.resolve()

  assert.ok(handed.every(isGone))
})

test('a failure is asked for once, and told for each object', async () => {
  let asked = 0
  const failing: SourceOpener = {
    name: 'failing',
    open() {
      asked += 1
      return Promise.reject(new KmsError('The key service is gone', { code: 'unavailable' }))
    },
  }
  const objects = new ObjectOpener([failing])
  const record = await v2Record(randomBytes(32))

  for (let round = 0; round < 3; round += 1) {
    const error = await rejection(objects.open(record, bytesOf(ETCD_KEY)))
    assert.is((error as KmsError).message, 'The key service is gone')
  }

  assert.is(asked, 1)
})

test('the next one is asked where one fails, and all are quoted where all fail', async () => {
  const failing = (name: string): SourceOpener => ({
    name,
    open: () => Promise.reject(new KmsError(`No from ${name}`, { code: 'key_unknown' })),
  })
  const { opener } = reversing()
  const record = await v2Record(randomBytes(32))

  const some = new ObjectOpener([failing('a'), opener])
  assert.is((await some.open(record, bytesOf(ETCD_KEY))).by, 'reversing')

  const none = new ObjectOpener([failing('a'), failing('b')])
  const error = await rejection(none.open(record, bytesOf(ETCD_KEY)))
  assert.is((error as KmsError).message, 'a: No from a; b: No from b')
})

test.run()
