import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import * as assert from 'uvu/assert'
import { KmsError } from '../../src/base/errors.ts'
import { joinPlaintext, SHARE_BYTES, sealedBytes, splitPlaintext } from '../../src/kms/shares.ts'
import { rejection, suite } from '../_lib/uvu.ts'

const SEED = Buffer.from('0123456789abcdef0123456789abcdef')
const DIGEST = Buffer.alloc(32, 7)

const test = suite('kms/shares', () => ({}))

const split = (k: number, count: number, associatedData = DIGEST) =>
  splitPlaintext(SEED, { k, count, associatedData, random: randomBytes })

async function refused(promise: Promise<unknown>): Promise<void> {
  const error = await rejection(promise)
  assert.instance(error, KmsError)
  assert.is((error as KmsError).code, 'ciphertext_invalid')
}

test('any k shares of n give the plaintext back', async () => {
  const { sealed, shares } = await split(3, 5)
  assert.is(sealed.length, sealedBytes({ scheme: 'threshold', k: 3 }, SEED.length))

  for (const skipped of [0, 1, 2, 3, 4]) {
    const others = shares.filter((_, index) => index !== skipped)
    for (const chosen of [others.slice(0, 3), others.slice(1), others.slice(0, 3).reverse()]) {
      const opened = await joinPlaintext({ sealed, shares: chosen, associatedData: DIGEST })
      assert.equal(Buffer.from(opened), SEED)
    }
  }
})

test('fewer than k shares, another digest or a changed seal give nothing', async () => {
  const { sealed, shares } = await split(3, 3)
  const changed = Uint8Array.from(sealed, (byte, index) => (index === 0 ? byte ^ 1 : byte))

  await refused(joinPlaintext({ sealed, shares: shares.slice(1), associatedData: DIGEST }))
  await refused(joinPlaintext({ sealed, shares: shares.slice(2), associatedData: DIGEST }))
  await refused(joinPlaintext({ sealed, shares, associatedData: Buffer.alloc(32, 8) }))
  await refused(joinPlaintext({ sealed: changed, shares, associatedData: DIGEST }))
})

test('mixed, repeated, changed and foreign shares are an error and never garbage', async () => {
  const one = await split(2, 3)
  const two = await split(2, 3)
  const [a = new Uint8Array(), b = new Uint8Array()] = one.shares
  const [c = new Uint8Array()] = two.shares
  const flipped = Uint8Array.from(b, (byte, index) => (index === 3 ? byte ^ 1 : byte))
  const swapped = Uint8Array.from([...b.subarray(0, -1), (b.at(-1) ?? 0) ^ 1])
  const { sealed } = one

  for (const shares of [
    [a, c],
    [a, a],
    [a, flipped],
    [a, swapped],
    [a, b.subarray(1)],
    [a, Buffer.concat([b, b])],
    [a, new Uint8Array()],
  ]) {
    await refused(joinPlaintext({ sealed, shares, associatedData: DIGEST }))
  }
})

test('a share tells nothing of the plaintext, and no two splits are alike', async () => {
  const first = await split(2, 3)
  const second = await split(2, 3)

  for (const share of first.shares) {
    assert.is(share.length, SHARE_BYTES)
    assert.not.ok(Buffer.from(share).includes(SEED))
  }
  assert.is.not(
    Buffer.from(first.sealed).toString('hex'),
    Buffer.from(second.sealed).toString('hex'),
  )
})

test.run()
