/**
 * What is stored opens as what was encrypted, or not at all: whatever bytes of an envelope are
 * changed, under each scheme, with real AES-GCM behind.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import * as fc from 'fast-check'
import * as assert from 'uvu/assert'
import { KmsError } from '../../src/base/errors.ts'
import { decodeEnvelope, encodeEnvelope, inputsOf, sealHeader } from '../../src/kms/envelope.ts'
import { keyIdOf } from '../../src/kms/key_id.ts'
import { joinPlaintext, splitPlaintext } from '../../src/kms/shares.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { FakeClock } from '../_lib/fake_clock.ts'
import { FakeProvider } from '../_lib/kms/fake_provider.ts'
import { ANY_PROTECTION, VirtualEndpoint } from '../_lib/kms/virtual_endpoint.ts'
import { holds } from '../_lib/properties.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('properties/envelope', () => ({}))

interface Shape {
  readonly count: number
  /** Undefined under `any`. */
  readonly k: number | undefined
}

const shape: fc.Arbitrary<Shape> = fc.oneof(
  fc.record({ count: fc.integer({ min: 1, max: 3 }), k: fc.constant(undefined) }),
  fc
    .tuple(fc.integer({ min: 2, max: 4 }), fc.nat())
    .map(([count, more]) => ({ count, k: 2 + (more % (count - 1)) })),
)
const plaintext = fc.uint8Array({ minLength: 1, maxLength: 64 })

/** What happens to the bytes on their way through etcd; positions are parts of the whole. */
const change = fc.record({
  kind: fc.constantFrom('flip', 'widen', 'cut', 'insert', 'truncate', 'repeat', 'append'),
  at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  bit: fc.nat(7),
  bytes: fc.uint8Array({ minLength: 1, maxLength: 12 }),
})
type Change = typeof change extends fc.Arbitrary<infer T> ? T : never

function changed(bytes: Uint8Array, { kind, at, bit, bytes: more }: Change): Uint8Array {
  const place = Math.floor(at * bytes.length)
  const [before, after] = [bytes.subarray(0, place), bytes.subarray(place)]
  switch (kind) {
    case 'flip':
      return Buffer.concat([before, [(after[0] ?? 0) ^ (1 << bit)], after.subarray(1)].map(flat))
    case 'widen':
      // The same number, written longer than need be.
      return Buffer.concat([before, [(after[0] ?? 0) | 0x80, 0], after.subarray(1)].map(flat))
    case 'cut':
      return Buffer.concat([before, after.subarray(more.length)])
    case 'insert':
      return Buffer.concat([before, more, after])
    case 'truncate':
      return before
    case 'repeat':
      return Buffer.concat([before, after.subarray(0, more.length), after])
    default:
      return Buffer.concat([bytes, more])
  }
}

function flat(part: Uint8Array | number[]): Uint8Array {
  return Uint8Array.from(part)
}

async function made({ count, k }: Shape) {
  const clock = new FakeClock({ quick: true })
  const events = new RecordedEvents()
  const providers = Array.from({ length: count }, (_, at) => new FakeProvider(`fake:${at}`))
  const protection =
    k === undefined
      ? ANY_PROTECTION
      : { ...ANY_PROTECTION, scheme: 'threshold' as const, k, minimum: k }
  const endpoint = new VirtualEndpoint({ clock, events, providers, health: { protection } })
  await endpoint.start()
  endpoint.stop()
  const call = () => ({
    signal: new AbortController().signal,
    deadline: clock.monotonic() + 2_500,
  })
  return { endpoint, call }
}

test('a changed envelope opens as what was encrypted, or is refused', async () => {
  await holds(
    150,
    fc.asyncProperty(
      shape,
      plaintext,
      fc.array(change, { minLength: 1, maxLength: 3 }),
      async (kind, text, changes) => {
        const { endpoint, call } = await made(kind)
        const reply = await endpoint.keyring.encrypt({ api: 'v2', plaintext: text }, call())
        const ciphertext = changes.reduce(changed, reply.ciphertext)
        const isSame = Buffer.from(reply.ciphertext).equals(ciphertext)
        let opened: Uint8Array | undefined
        try {
          const keyId = keyIdIn(ciphertext) ?? reply.keyId
          opened = await endpoint.keyring.decrypt(
            { ...reply, api: 'v2', keyId, ciphertext },
            call(),
          )
        } catch (error) {
          assert.instance(error, KmsError)
          assert.not.ok(isSame, 'as it was made it opens')
        }
        if (opened === undefined || isSame) return
        assert.equal(Buffer.from(opened), Buffer.from(text))
        // Another member's wrap may still open it; header and seal are as they were then.
        const [before, after] = [decodeEnvelope(reply.ciphertext), decodeEnvelope(ciphertext)]
        assert.ok(kind.count > (kind.k ?? 1), 'nobody else could have opened it')
        assert.equal(Buffer.from(after.digest), Buffer.from(before.digest))
        assert.equal(Buffer.from(after.sealed), Buffer.from(before.sealed))
      },
    ),
  )
})

/** Whoever can change what is stored can change the key id beside it too. */
function keyIdIn(ciphertext: Uint8Array): string | undefined {
  try {
    return decodeEnvelope(ciphertext).keyId
  } catch {
    return undefined
  }
}

test('parts of two envelopes never open together', async () => {
  await holds(
    80,
    fc.asyncProperty(shape, plaintext, plaintext, async (kind, one, two) => {
      const { endpoint, call } = await made(kind)
      const encrypt = (text: Uint8Array) =>
        endpoint.keyring.encrypt({ api: 'v2', plaintext: text }, call())
      const [first, second] = [await encrypt(one), await encrypt(two)]
      const [a, b] = [decodeEnvelope(first.ciphertext), decodeEnvelope(second.ciphertext)]
      const header = { bytes: headerOf(first.ciphertext, a), digest: a.digest }
      for (const [wraps, sealed] of [
        [b.wraps, a.sealed],
        ...(a.sealed.length === 0
          ? []
          : [[a.wraps, b.sealed] as const, [b.wraps, b.sealed] as const]),
      ] as const) {
        const ciphertext = encodeEnvelope(header, wraps, sealed)
        const mixed = endpoint.keyring.decrypt({ api: 'v2', ...first, ciphertext }, call())
        assert.is(
          await mixed.then(
            () => 'opened',
            () => 'refused',
          ),
          'refused',
        )
      }
    }),
  )
})

/** The bytes of its header, found by what stands behind them. */
function headerOf(ciphertext: Uint8Array, { wraps, sealed }: ReturnType<typeof decodeEnvelope>) {
  for (let end = 0; end <= ciphertext.length; end += 1) {
    for (let start = 0; start <= Math.min(end, 6); start += 1) {
      const bytes = ciphertext.subarray(start, end)
      const again = encodeEnvelope({ bytes, digest: new Uint8Array() }, wraps, sealed)
      if (Buffer.from(again).equals(ciphertext)) return bytes
    }
  }
  throw new Error('An envelope without a header')
}

test('any bytes at all are refused with a known error', async () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.uint8Array({ maxLength: 200 }).map((rest) => Uint8Array.of(0xf5, 0x01, ...rest)),
  )
  await holds(
    500,
    fc.property(bytes, (given) => {
      try {
        decodeEnvelope(given)
      } catch (error) {
        assert.instance(error, KmsError)
      }
    }),
  )
})

const member = fc.record(
  {
    providerId: fc.string({ minLength: 1, maxLength: 24, unit: 'binary' }),
    version: fc.string({ minLength: 1, maxLength: 12, unit: 'binary' }),
    createdAt: fc.integer({ min: 0, max: 2 ** 40 }),
  },
  { noNullPrototype: true },
)
const recipient = fc.stringMatching(/^[\w-]{43}$/)

test('an envelope reads as what it was made of', async () => {
  const members = fc.uniqueArray(member, {
    minLength: 1,
    maxLength: 5,
    selector: ({ providerId }) => providerId,
  })
  const recipients = fc.uniqueArray(recipient, { maxLength: 3 })
  await holds(
    200,
    fc.property(
      members,
      recipients,
      fc.uint8Array({ minLength: 1, maxLength: 50 }),
      (all, keys, data) => {
        const inputs = inputsOf({ scheme: 'any', k: 1 }, all, keys.toSorted())
        const header = sealHeader(inputs, (size) => randomBytes(size))
        const wraps = inputs.members.map((_, at) => ({ member: at, data }))
        const read = decodeEnvelope(encodeEnvelope(header, wraps))
        assert.is(read.keyId, keyIdOf(inputs))
        assert.equal(read.members, inputs.members)
        assert.equal(Buffer.from(read.digest), Buffer.from(header.digest))
        assert.equal(
          read.wraps.map((wrap) => [...wrap.data]),
          wraps.map(() => [...data]),
        )
      },
    ),
  )
})

test('exactly k shares open what was split, in any choice and order; fewer, foreign or changed ones never', async () => {
  await holds(
    60,
    fc.asyncProperty(
      fc.integer({ min: 2, max: 5 }),
      fc.nat(),
      plaintext,
      fc.infiniteStream(fc.nat()),
      async (count, more, text, stream) => {
        const k = 2 + (more % (count - 1))
        const associatedData = randomBytes(32)
        const options = { k, count, associatedData, random: (size: number) => randomBytes(size) }
        const { sealed, shares } = await splitPlaintext(text, options)
        const chosen = shares
          .map((share) => ({ share, key: stream.next().value ?? 0 }))
          .toSorted((a, b) => a.key - b.key)
          .slice(0, k)
          .map(({ share }) => share)
        const join = (given: readonly Uint8Array[], seal = sealed) =>
          joinPlaintext({ sealed: seal, shares: given, associatedData })
        assert.equal(Buffer.from(await join(chosen)), Buffer.from(text))

        const other = await splitPlaintext(text, options)
        const bit = stream.next().value ?? 0
        const flipped = changed(chosen[0] ?? new Uint8Array(), flipOf(bit))
        const wrong = [
          join(chosen.slice(1)),
          join([flipped, ...chosen.slice(1)]),
          join([...other.shares.slice(0, 1), ...chosen.slice(1)]),
          join(chosen, changed(sealed, flipOf(bit))),
        ]
        for (const each of wrong) {
          assert.is(
            await each.then(
              () => 'opened',
              () => 'refused',
            ),
            'refused',
          )
        }
      },
    ),
  )
})

function flipOf(bit: number): Change {
  return { kind: 'flip', at: (bit % 97) / 97, bit: bit % 8, bytes: new Uint8Array() }
}

test.run()
