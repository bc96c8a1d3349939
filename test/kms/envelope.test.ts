import { Buffer } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import {
  ANY,
  decodeEnvelope,
  encodeEnvelope,
  inputsOf,
  maxEnvelopeBytes,
  sealHeader,
} from '../../src/kms/envelope.ts'
import { KmsError } from '../../src/kms/errors.ts'
import { keyIdOf } from '../../src/kms/key_id.ts'
import { suite } from '../_lib/uvu.ts'

const MEMBERS = [
  { providerId: 'local:00112233445566778899aabbccddeeff', version: '2', createdAt: 1_800_000_000 },
  { providerId: 'vault:transit/k8s-etcd', version: '17', createdAt: 1_800_000_600 },
]
const WRAPS = [
  { member: 0, data: Uint8Array.of(1, 2, 3) },
  { member: 1, data: Uint8Array.of(4, 5) },
]

const test = suite('kms/envelope', () => {
  const header = sealHeader(inputsOf(ANY, MEMBERS), (bytes) => new Uint8Array(bytes).fill(7))
  return { header, bytes: encodeEnvelope(header, WRAPS) }
})

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof KmsError) return error.code
    throw error
  }
  return 'none'
}

test('decodeEnvelope() gives back members, wraps, digest and key id of what was encoded [E11]', ({
  header,
  bytes,
}) => {
  const opened = decodeEnvelope(bytes)

  assert.equal(opened.members, MEMBERS)
  assert.equal(
    opened.wraps.map(({ member, data }) => [member, [...data]]),
    [
      [0, [1, 2, 3]],
      [1, [4, 5]],
    ],
  )
  assert.equal([...opened.digest], [...header.digest])
  assert.is(opened.keyId, keyIdOf(inputsOf(ANY, MEMBERS)))
})

test('decodeEnvelope() reads the published vectors, and keyIdOf() makes their key ids [D11]', async () => {
  const text = await readFile(new URL('../vectors/envelope.json', import.meta.url), 'utf8')
  const vectors = JSON.parse(text)

  for (const vector of vectors.envelopes) {
    const opened = decodeEnvelope(Buffer.from(vector.ciphertext, 'hex'))
    assert.is(opened.keyId, vector.keyId)
    assert.is(Buffer.from(opened.digest).toString('hex'), vector.associatedData)
    assert.equal(opened.members, vector.members)
    assert.equal(
      opened.wraps.map(({ data }) => Buffer.from(data).toString('hex')),
      vector.wraps,
    )
  }
  assert.ok(vectors.envelopes.length >= 2)
})

test('sealHeader() gives equal members another digest under another envelope id [E9]', ({
  header,
}) => {
  const other = sealHeader(inputsOf(ANY, MEMBERS), (bytes) => new Uint8Array(bytes).fill(8))

  assert.not.equal([...other.digest], [...header.digest])
})

test('decodeEnvelope() tells an empty ciphertext from a damaged one', () => {
  assert.is(
    codeOf(() => decodeEnvelope(new Uint8Array())),
    'ciphertext_empty',
  )
})

test('decodeEnvelope() refuses every truncation', ({ bytes }) => {
  for (let length = 1; length < bytes.length; length += 1) {
    assert.is(
      codeOf(() => decodeEnvelope(bytes.subarray(0, length))),
      'ciphertext_invalid',
    )
  }
})

test('decodeEnvelope() of any flipped bit is refused or has another key id, digest or wrap', ({
  bytes,
  header,
}) => {
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const flipped = Uint8Array.from(bytes)
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    let opened: ReturnType<typeof decodeEnvelope>
    try {
      opened = decodeEnvelope(flipped)
    } catch (error) {
      assert.is((error as KmsError).code, 'ciphertext_invalid')
      continue
    }
    const same =
      Buffer.from(opened.digest).equals(header.digest) &&
      JSON.stringify(opened.wraps.map(({ member, data }) => [member, [...data]])) ===
        JSON.stringify(WRAPS.map(({ member, data }) => [member, [...data]]))
    assert.not.ok(same, `bit ${bit}`)
  }
})

const FOREIGN: readonly [string, Buffer][] = [
  ['raw Vault text', Buffer.from('vault:v1:AAAA')],
  ['a Trousseau 2 line', Buffer.from('vault:-:dmF1bHQ6djE6QUFBQQ==\n')],
  ['an AWS blob', Buffer.from([1, 2, 2, 0, 120])],
  ['a later format', Buffer.from([0xf5, 2, 10, 0])],
  ['only the magic', Buffer.from([0xf5, 1])],
  ['one byte', Buffer.from([0xf5])],
  ['over 65535 bytes', Buffer.concat([Buffer.from([0xf5, 1]), Buffer.alloc(65_534)])],
]
for (const [name, bytes] of FOREIGN) {
  test(`decodeEnvelope() refuses ${name}`, () => {
    assert.is(
      codeOf(() => decodeEnvelope(bytes)),
      'ciphertext_invalid',
    )
  })
}

test('decodeEnvelope() refuses wraps that repeat, miss or lie outside the members', ({
  header,
}) => {
  const one = { member: 0, data: Uint8Array.of(1) }
  const two = { member: 1, data: Uint8Array.of(1) }
  const bad = [
    [one],
    [one, one],
    [one, two, { member: 2, data: Uint8Array.of(1) }],
    [one, { member: 1, data: new Uint8Array() }],
  ]
  for (const wraps of bad) {
    assert.is(
      codeOf(() => decodeEnvelope(encodeEnvelope(header, wraps))),
      'ciphertext_invalid',
    )
  }
})

test('decodeEnvelope() refuses members that are unsorted, repeated or none', () => {
  const [first, second] = MEMBERS
  if (first === undefined || second === undefined) throw new Error('Two members')
  for (const members of [[second, first], [first, first], []]) {
    const header = sealHeader({ ...inputsOf(ANY, []), members }, (bytes) => new Uint8Array(bytes))
    const wraps = members.map((_, member) => ({ member, data: Uint8Array.of(1) }))
    assert.is(
      codeOf(() => decodeEnvelope(encodeEnvelope(header, wraps))),
      'ciphertext_invalid',
    )
  }
})

test('maxEnvelopeBytes() keeps two Vault wraps of a seed under 300 bytes', () => {
  const members = ['a', 'b'].map((mount) => ({
    providerId: `vault:transit-${mount}/k8s-etcd`,
    version: '12',
    createdAt: 1_800_000_000,
  }))
  const wrap = 12 + 32 + 16

  assert.ok(maxEnvelopeBytes(inputsOf(ANY, members), [wrap, wrap], 0) < 300)
})

test.run()
