/**
 * AES-GCM does not commit to its key. What that is worth to whom: a storage and one key service
 * that work together make nothing of it, because the header names the key, and no key of a
 * threshold is known to them. Whoever may wrap at the key services himself can store what reads
 * differently on two nodes, under either scheme: docs/security-review.md, "One ciphertext, one
 * plaintext".
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { createDecipheriv, randomBytes } from 'node:crypto'
import * as assert from 'uvu/assert'
import { KmsError } from '../../src/base/errors.ts'
import {
  decodeEnvelope,
  type EnvelopeWrap,
  encodeEnvelope,
  inputsOf,
  sealHeader,
} from '../../src/kms/envelope.ts'
import { keyIdOf } from '../../src/kms/key_id.ts'
import { joinPlaintext } from '../../src/kms/shares.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { FakeClock } from '../_lib/fake_clock.ts'
import { FakeProvider } from '../_lib/kms/fake_provider.ts'
import { sealedUnderTwoKeys } from '../_lib/kms/two_key_gcm.ts'
import { ANY_PROTECTION, VirtualEndpoint } from '../_lib/kms/virtual_endpoint.ts'
import { rejection, suite } from '../_lib/uvu.ts'

const SEED = Buffer.from('0123456789abcdef0123456789abcdef')
const BEGIN = Buffer.from('chosen by no one')
const NAMES = ['fake:a', 'fake:b', 'fake:c'] as const
const NONCE = Buffer.alloc(12)
const THRESHOLD = { scheme: 'threshold', k: 2 } as const

const test = suite('kms/key commitment', async () => {
  const clock = new FakeClock()
  const providers = NAMES.map((name) => new FakeProvider(name))
  /** A node whose Decrypt asks in this order. */
  const node = async (decryptPreference: readonly string[]) => {
    const endpoint = new VirtualEndpoint({
      clock,
      events: new RecordedEvents(),
      providers,
      health: { protection: { ...ANY_PROTECTION, ...THRESHOLD, minimum: 2 } },
      keyring: { decryptPreference },
    })
    await endpoint.start()
    return endpoint
  }
  const call = () => ({
    signal: new AbortController().signal,
    deadline: clock.monotonic() + 2_500,
  })
  const [one, two] = await Promise.all([node(NAMES), node([NAMES[0], NAMES[2], NAMES[1]])])
  const header = sealHeader(
    inputsOf(
      THRESHOLD,
      NAMES.map((providerId) => ({ providerId, version: '1', createdAt: 0 })),
    ),
    randomBytes,
  )
  /** As whoever has the permission to encrypt there, without the plugin. */
  const wrapped = async (plaintexts: readonly Uint8Array[]): Promise<EnvelopeWrap[]> => {
    const items = plaintexts.map((plaintext) => ({ plaintext, associatedData: header.digest }))
    return await Promise.all(
      items.map(async (item, member) => {
        const [outcome] = (await providers[member]?.wrap('1', [item], call())) ?? []
        return { member, data: outcome?.ok ? outcome.value : new Uint8Array() }
      }),
    )
  }
  const open = (endpoint: VirtualEndpoint, ciphertext: Uint8Array) =>
    endpoint.keyring.decrypt(
      { api: 'v1beta1', keyId: undefined, ciphertext, annotations: {} },
      call(),
    )
  return { call, header, node, one, open, providers, two, wrapped }
})

function gcm(key: Uint8Array, sealed: Uint8Array, associatedData: Uint8Array): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, NONCE, { authTagLength: 16 })
  decipher.setAAD(associatedData).setAuthTag(sealed.subarray(-16))
  return Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()])
}

/** Of the field of the shares, times two. */
function doubled(byte: number): number {
  return ((byte << 1) ^ (byte & 0x80 ? 0x1b : 0)) & 0xff
}

/** The share at x of the line through the key at 0 and `at1` at 1. */
function onLine(key: Uint8Array, at1: Uint8Array, x: 2 | 3): Uint8Array {
  const values = key.map((byte, at) => {
    const slope = byte ^ (at1[at] ?? 0)
    return byte ^ doubled(slope) ^ (x === 3 ? slope : 0)
  })
  return Uint8Array.of(...values, x)
}

/** Shares at 1, 2 and 3, of which the first two make one key, and the first and last another. */
function twoFaced(keys: readonly [Uint8Array, Uint8Array]): Uint8Array[] {
  const at1 = randomBytes(32)
  return [Uint8Array.of(...at1, 1), onLine(keys[0], at1, 2), onLine(keys[1], at1, 3)]
}

async function refused(opening: Promise<Uint8Array>): Promise<void> {
  const error = await rejection(opening)
  assert.instance(error, KmsError)
  assert.is((error as KmsError).code, 'ciphertext_invalid')
}

test('one ciphertext with one tag opens under two keys, to different bytes', () => {
  const keys = [randomBytes(32), randomBytes(32)] as const
  const associatedData = randomBytes(32)

  const sealed = sealedUnderTwoKeys({ keys, nonce: NONCE, associatedData, begin: BEGIN })

  const [first, second] = keys.map((key) => gcm(key, sealed, associatedData))
  assert.equal(first?.subarray(0, 16), BEGIN)
  assert.not.equal(first, second)
  assert.throws(() => gcm(randomBytes(32), sealed, associatedData))
  assert.throws(() => gcm(keys[0], sealed, randomBytes(32)))
})

test('a storage that knows two keys can put them under no header but the one they were made for', async () => {
  const keys = [randomBytes(32), randomBytes(32)] as const
  const associatedData = randomBytes(32)
  const sealed = sealedUnderTwoKeys({ keys, nonce: NONCE, associatedData, begin: BEGIN })
  const shares = twoFaced(keys)
  const other = randomBytes(32)

  for (const chosen of [shares.slice(0, 2), [shares[0], shares[2]]]) {
    const whole = chosen.flatMap((share) => share ?? [])
    assert.is((await joinPlaintext({ sealed, shares: whole, associatedData })).length, 32)
    await refused(joinPlaintext({ sealed, shares: whole, associatedData: other }))
  }
  await refused(joinPlaintext({ sealed, shares, associatedData }))
})

test('a storage and one key service of a threshold that lies open nothing, whatever they say', async ({
  call,
  header,
  one,
  open,
  providers,
  two,
}) => {
  const honest = await one.keyring.encrypt({ api: 'v1beta1', plaintext: SEED }, call())
  const { wraps } = decodeEnvelope(honest.ciphertext)
  const keys = [randomBytes(32), randomBytes(32)] as const
  const associatedData = header.digest
  const sealed = sealedUnderTwoKeys({ keys, nonce: NONCE, associatedData, begin: BEGIN })
  const lies = [
    ...twoFaced(keys).slice(1),
    Uint8Array.of(...randomBytes(32), 1),
    Uint8Array.of(...keys[0], 255),
  ]

  for (const lie of lies) {
    const liar = providers[2]
    if (liar) liar.distort = () => lie
    assert.equal(Buffer.from(await open(one, honest.ciphertext)), SEED)
    await refused(open(two, honest.ciphertext))
    // Wraps of the honest ones are bound to another header, and theirs are not to be had.
    await refused(open(two, encodeEnvelope(header, wraps, sealed)))
  }
})

test('whoever may wrap at the key services themselves can store what two nodes read differently', async ({
  header,
  one,
  open,
  two,
  wrapped,
}) => {
  const keys = [randomBytes(32), randomBytes(32)] as const
  const associatedData = header.digest
  const sealed = sealedUnderTwoKeys({ keys, nonce: NONCE, associatedData, begin: BEGIN })
  const ciphertext = encodeEnvelope(header, await wrapped(twoFaced(keys)), sealed)

  const [here, there] = [await open(one, ciphertext), await open(two, ciphertext)]

  assert.equal(Buffer.from(here), gcm(keys[0], sealed, associatedData))
  assert.equal(Buffer.from(there), gcm(keys[1], sealed, associatedData))
})

test('a wrap that opens under two versions of a key is opened under the one that the header names', () => {
  const members = (version: string) => [{ providerId: 'fake:a', version, createdAt: 0 }]
  const envelopeId = randomBytes(16)
  const headers = ['1', '2'].map((version) =>
    sealHeader(inputsOf({ scheme: 'any', k: 1 }, members(version)), () => envelopeId),
  )
  const [named, changed] = headers
  if (named === undefined || changed === undefined) return assert.unreachable()
  const keys = [randomBytes(32), randomBytes(32)] as const
  const associatedData = named.digest
  const data = sealedUnderTwoKeys({ keys, nonce: NONCE, associatedData, begin: BEGIN })
  const wraps = [{ member: 0, data }]

  const stored = decodeEnvelope(encodeEnvelope(named, wraps))
  assert.is(stored.members[0]?.version, '1')
  assert.is(stored.keyId, keyIdOf(inputsOf({ scheme: 'any', k: 1 }, members('1'))))
  // Under the other version it is another digest, and so none of the two opens it.
  const moved = decodeEnvelope(encodeEnvelope(changed, wraps))
  for (const key of keys) assert.throws(() => gcm(key, data, moved.digest))
})

test.run()
