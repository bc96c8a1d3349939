import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import * as assert from 'uvu/assert'
import { KmsError } from '../../../src/base/errors.ts'
import { decryptObject } from '../../../src/tools/etcd/decrypt.ts'
import { readRecord, type V1Record, type V2Record } from '../../../src/tools/etcd/record.ts'
import { bytesOf, secretBytes, v1Value, v2Value } from '../../_lib/tools/stored_objects.ts'
import { suite } from '../../_lib/uvu.ts'
import LEGACY from '../../vectors/apiserver_legacy.json' with { type: 'json' }

const ETCD_KEY = '/registry/secrets/default/db'
const PLAINTEXT = secretBytes({ name: 'db', namespace: 'default' }, [['password', 'hunter2']])
const SEED = randomBytes(32)

const test = suite('tools/etcd/decrypt', () => ({}))

function record(value: Uint8Array): V1Record | V2Record {
  const read = readRecord(value)
  if (read.form === 'kms-v1' || read.form === 'kms-v2') return read
  throw new Error(`Unexpected form ${read.form}`)
}

function refusal(value: Uint8Array, unwrapped: Uint8Array, etcdKey = ETCD_KEY): string {
  try {
    decryptObject(record(value), unwrapped, bytesOf(etcdKey))
  } catch (error) {
    assert.instance(error, KmsError)
    assert.is((error as KmsError).code, 'ciphertext_invalid')
    return (error as KmsError).message
  }
  throw new Error('Expected a refusal')
}

const v2 = (derived: boolean) =>
  v2Value({
    etcdKey: ETCD_KEY,
    plaintext: PLAINTEXT,
    seed: SEED,
    ciphertext: Buffer.from('wrapped'),
    keyId: '1',
    derived,
  })

const v1 = (cbc: boolean, plaintext: Uint8Array = PLAINTEXT) =>
  v1Value({ etcdKey: ETCD_KEY, plaintext, key: SEED, wrappedKey: Buffer.from('wrapped'), cbc })

test('values that Kubernetes 1.27 and 1.28 wrote open, of either source type', () => {
  const names = LEGACY.values.map(({ etcdKey, value, sourceType }) => {
    const read = record(Buffer.from(value, 'base64'))
    assert.ok(read.form === 'kms-v2' && read.sourceType === sourceType)
    // The plugin that they were made with wraps by base64.
    const source = Buffer.from(
      Buffer.from(read.form === 'kms-v2' ? read.source : []).toString(),
      'base64',
    )

    const opened = Buffer.from(decryptObject(read, source, bytesOf(etcdKey))).toString('latin1')

    assert.match(opened, /^k8s\0.*Secret.*api_key.*086a7ffc-0225-11e8-ba89-0ed5f89f718b/s)
    return read.form
  })
  assert.is(names.length, 2)
})

test('a seed, a key, and the keys of KMS v1 open what they encrypted', async () => {
  const values = [await v2(true), await v2(false), await v1(false), await v1(true)]

  for (const value of values) {
    assert.equal(decryptObject(record(value), SEED, bytesOf(ETCD_KEY)), PLAINTEXT)
  }
})

test('an object of any length opens', async () => {
  for (const bytes of [0, 1, 15, 16, 17, 70_000]) {
    const plaintext = Buffer.concat([Buffer.from('{'), randomBytes(bytes)])
    for (const cbc of [true, false]) {
      const read = record(await v1(cbc, plaintext))
      assert.equal(decryptObject(read, SEED, bytesOf(ETCD_KEY)), bytesOf(plaintext))
    }
  }
})

test('another key, another place in etcd and a change of any byte of the data are refused', async () => {
  for (const value of [await v2(true), await v2(false), await v1(false)]) {
    assert.match(refusal(value, randomBytes(32)), /it is damaged, or it was copied here/)
    refusal(value, SEED, '/registry/secrets/default/other')
    refusal(value, SEED.subarray(0, 20))
    refusal(value, new Uint8Array())
  }
  const whole = await v2(true)
  const { encryptedData } = record(whole)
  for (let at = 0; at < encryptedData.length; at += 1) {
    const changed = { ...record(whole), encryptedData: Uint8Array.from(encryptedData) }
    changed.encryptedData[at] = (changed.encryptedData[at] ?? 0) ^ 0x10
    assert.throws(() => decryptObject(changed, SEED, bytesOf(ETCD_KEY)))
  }
})

test('AES-CBC, which authenticates nothing, opens to an object or not at all', async () => {
  const noObject = await v1(true, Buffer.from('hunter2 and no object'))

  refusal(noObject, SEED)
  refusal(await v1(true), randomBytes(32))
})

test.run()
