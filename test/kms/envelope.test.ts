import { Buffer } from 'node:buffer'
import { createDecipheriv } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { create, toBinary } from '@bufbuild/protobuf'
import * as assert from 'uvu/assert'
import { KmsError } from '../../src/base/errors.ts'
import {
  ANY,
  decodeEnvelope,
  encodeEnvelope,
  inputsOf,
  maxEnvelopeBytes,
  sealHeader,
} from '../../src/kms/envelope.ts'
import { EnvelopeSchema, HeaderSchema } from '../../src/kms/envelope_pb.ts'
import { keyIdOf, type Scheme } from '../../src/kms/key_id.ts'
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

test('the published vector of a threshold opens with two of three keys and arithmetic of its own [D11]', async () => {
  const text = await readFile(new URL('../vectors/envelope.json', import.meta.url), 'utf8')
  const [vector] = JSON.parse(text).thresholds
  const opened = decodeEnvelope(Buffer.from(vector.ciphertext, 'hex'))
  assert.is(opened.keyId, vector.keyId)
  assert.equal([opened.scheme, opened.k], ['threshold', 2])
  assert.is(Buffer.from(opened.sealed).toString('hex'), vector.sealed)
  assert.is(Buffer.from(opened.digest).toString('hex'), vector.associatedData)
  const shares = opened.wraps.map(({ data }, at) =>
    unwrapped(Buffer.from(vector.keys[at], 'hex'), data.subarray(0, 12), data.subarray(12), opened),
  )
  assert.equal(
    shares.map((share) => share.toString('hex')),
    vector.shares,
  )

  for (const [a, b] of [
    [0, 1],
    [0, 2],
    [2, 1],
  ] as const) {
    const key = joined(at(shares, a), at(shares, b))
    const plaintext = unwrapped(key, Buffer.alloc(12), opened.sealed, opened)
    assert.is(plaintext.toString('hex'), vector.plaintext)
  }
})

function at<T>(items: readonly T[], index: number): T {
  const item = items[index]
  if (item === undefined) throw new Error('Not so many')
  return item
}

/** AES-256-GCM with the tag at the end, under the envelope's digest. */
function unwrapped(
  key: Buffer,
  nonce: Uint8Array,
  sealed: Uint8Array,
  { digest }: { readonly digest: Uint8Array },
): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 })
  decipher.setAAD(digest).setAuthTag(sealed.subarray(-16))
  return Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()])
}

/** The line through two points of each byte, at 0, in GF(2^8) with x^8+x^4+x^3+x+1: docs/envelope.md. */
function joined(a: Buffer, b: Buffer): Buffer {
  const [x, y] = [a[32] ?? 0, b[32] ?? 0]
  const inverse = inverseOf(x ^ y)
  return Buffer.from(
    a.subarray(0, 32).map((byte, index) => {
      const other = b[index] ?? 0
      return product(byte, product(y, inverse)) ^ product(other, product(x, inverse))
    }),
  )
}

function product(a: number, b: number): number {
  let [left, right, sum] = [a, b, 0]
  while (right > 0) {
    if (right & 1) sum ^= left
    left = (left << 1) ^ (left & 0x80 ? 0x11b : 0)
    right >>= 1
  }
  return sum
}

function inverseOf(a: number): number {
  for (let b = 1; b < 256; b += 1) if (product(a, b) === 1) return b
  throw new Error('Zero has none')
}

const SEALED = new Uint8Array(48)

test('decodeEnvelope() reads thresholds and recipients, and refuses what cannot be', () => {
  const threshold = (k: number) => ({ scheme: 'threshold', k }) as const
  const recipients = ['A'.repeat(43), 'B'.repeat(43)]
  const made = (scheme: Scheme, sealed: Uint8Array, names: readonly string[]) => {
    const header = sealHeader(inputsOf(scheme, MEMBERS, names), (bytes) => new Uint8Array(bytes))
    return encodeEnvelope(header, WRAPS, sealed)
  }
  const opened = decodeEnvelope(made(threshold(2), SEALED, recipients))
  assert.is(opened.keyId, keyIdOf(inputsOf(threshold(2), MEMBERS, recipients)))

  for (const bytes of [
    made(threshold(1), SEALED, []),
    made(threshold(0), SEALED, []),
    made(threshold(3), SEALED, []),
    made(threshold(2), new Uint8Array(), []),
    made({ scheme: 'any', k: 2 }, new Uint8Array(), []),
    made(ANY, SEALED, []),
    made(ANY, new Uint8Array(), recipients.toReversed()),
    made(ANY, new Uint8Array(), [at(recipients, 0), at(recipients, 0)]),
    made(ANY, new Uint8Array(), ['A'.repeat(42)]),
  ]) {
    assert.is(
      codeOf(() => decodeEnvelope(bytes)),
      'ciphertext_invalid',
    )
  }
})

test('the writer makes what the protobuf runtime makes of thresholds and recipients', () => {
  const recipients = ['A'.repeat(43)]
  const inputs = inputsOf({ scheme: 'threshold', k: 2 }, MEMBERS, recipients)
  const header = sealHeader(inputs, (bytes) => new Uint8Array(bytes).fill(7))
  const own = encodeEnvelope(header, WRAPS, SEALED)

  const members = MEMBERS.map((member) => ({ ...member, createdAt: BigInt(member.createdAt) }))
  const envelopeId = new Uint8Array(16).fill(7)
  const theirs = create(HeaderSchema, { scheme: 2, k: 2, envelopeId, members, recipients })
  const wraps = WRAPS.map((wrap) => ({ ...wrap }))
  const whole = create(EnvelopeSchema, {
    header: toBinary(HeaderSchema, theirs),
    wraps,
    sealed: SEALED,
  })

  assert.equal(Buffer.from(own.subarray(2)), Buffer.from(toBinary(EnvelopeSchema, whole)))
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

test('decodeEnvelope() reads headers of several key ids by turns, each as its own', () => {
  const all = [
    inputsOf(ANY, MEMBERS),
    inputsOf(
      ANY,
      MEMBERS.map((member) => ({ ...member, version: `${member.version}1` })),
    ),
    inputsOf({ scheme: 'threshold', k: 2 }, MEMBERS),
    inputsOf(
      ANY,
      MEMBERS.map((member) => ({ ...member, createdAt: member.createdAt + 1 })),
    ),
  ]
  for (let turn = 0; turn < 12; turn += 1) {
    const inputs = all[(turn * 7) % all.length] ?? inputsOf(ANY, MEMBERS)
    const header = sealHeader(inputs, (bytes) => new Uint8Array(bytes).fill(turn))
    const sealed = inputs.scheme === 'any' ? undefined : Uint8Array.of(9)

    const opened = decodeEnvelope(encodeEnvelope(header, WRAPS, sealed))

    assert.is(opened.keyId, keyIdOf(inputs))
    assert.equal(opened.members, inputs.members)
    assert.equal([...opened.digest], [...header.digest])
  }
})

test('decodeEnvelope() takes no envelope with a changed byte for what it was, whatever was read before', ({
  header,
  bytes,
}) => {
  const id = [...header.digest].join()
  for (let at = 0; at < bytes.length; at += 1) {
    for (let other = 0; other < 256; other += 1) {
      decodeEnvelope(bytes)
      const changed = Uint8Array.from(bytes)
      changed[at] = other
      if (other === bytes[at]) continue
      try {
        const { digest, wraps } = decodeEnvelope(changed)
        const sameWraps = wraps.every(({ data }, n) => `${data}` === `${WRAPS[n]?.data}`)
        assert.not.ok([...digest].join() === id && sameWraps)
        assert.ok(wraps.length === WRAPS.length)
      } catch (error) {
        assert.instance(error, KmsError)
      }
    }
  }
})

test.run()
