import * as assert from 'uvu/assert'
import { type KeyIdInputs, keyIdOf } from '../../src/kms/key_id.ts'
import { suite } from '../_lib/uvu.ts'

const INPUTS: KeyIdInputs = {
  format: 1,
  scheme: 'any',
  k: 1,
  members: [{ providerId: 'vault:transit/k8s-etcd', version: '3', createdAt: 1_800_000_000 }],
  recipients: [],
}
const MEMBER = INPUTS.members[0]

const test = suite('kms/key_id', () => ({}))

test('keyIdOf() is readable, short and the same for the same inputs [S7 S9 S10]', () => {
  const keyId = keyIdOf(INPUTS)

  assert.match(keyId, /^tr1-any-v3-[\w-]{43}$/)
  assert.is(keyIdOf(structuredClone(INPUTS)), keyId)
})

const CHANGES: readonly [string, Partial<NonNullable<typeof MEMBER>>][] = [
  ['provider id', { providerId: 'vault:transit/k8s-etce' }],
  ['version', { version: '4' }],
  ['creation time', { createdAt: 1_800_000_001 }],
]
for (const [what, change] of CHANGES) {
  test(`keyIdOf() changes with the ${what} [S8 R4]`, () => {
    if (MEMBER === undefined) throw new Error('One member')

    assert.is.not(keyIdOf({ ...INPUTS, members: [{ ...MEMBER, ...change }] }), keyIdOf(INPUTS))
  })
}

test('keyIdOf() shows only safe characters of a label, and tells the labels apart', () => {
  const keyIds = ['a b\n"', 'a_b__'].map((version) =>
    keyIdOf({ ...INPUTS, members: [{ providerId: 'x', version, createdAt: 0 }] }),
  )

  for (const keyId of keyIds) assert.match(keyId, /^tr1-any-va_b__-[\w-]{43}$/)
  assert.is.not(keyIds[0], keyIds[1])
})

test.run()
