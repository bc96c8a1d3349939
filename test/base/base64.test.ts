import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import { decodeBase64 } from '../../src/base/base64.ts'
import { SeededRandom } from '../_lib/seeded_random.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('base/base64', () => ({}))

const ENCODING = { standard: 'base64', url: 'base64url' } as const

for (const alphabet of ['standard', 'url'] as const) {
  test(`decodeBase64() gives back what was encoded in the ${alphabet} alphabet`, () => {
    const random = SeededRandom.announced(`kms/base64 ${alphabet}`)
    for (let length = 0; length < 300; length += 1) {
      const bytes = Buffer.from(random.bytes(length))

      const decoded = decodeBase64(Buffer.from(bytes.toString(ENCODING[alphabet])), alphabet)

      assert.equal(Buffer.from(decoded ?? [0]), bytes)
    }
  })

  test(`decodeBase64() takes only the one spelling in the ${alphabet} alphabet`, () => {
    const random = SeededRandom.announced(`kms/base64 ${alphabet} spelling`)
    for (let round = 0; round < 2_000; round += 1) {
      const text = Buffer.from(random.bytes(random.below(40))).toString(ENCODING[alphabet])
      const changed = random.mutate(Buffer.from(text))

      const decoded = decodeBase64(changed, alphabet)

      if (decoded === undefined) continue
      assert.equal(
        Buffer.from(decoded).toString(ENCODING[alphabet]),
        Buffer.from(changed).toString(),
      )
    }
  })
}

for (const [text, alphabet] of [
  ['A', 'standard'],
  ['AA', 'standard'],
  ['AA=', 'standard'],
  ['AB==', 'standard'],
  ['AAB=', 'standard'],
  ['A===', 'standard'],
  ['====', 'standard'],
  ['AA==AA==', 'standard'],
  [' AAAA', 'standard'],
  ['AAAA\n', 'standard'],
  ['AA-_', 'standard'],
  ['A', 'url'],
  ['AA==', 'url'],
  ['AB', 'url'],
  ['AA+/', 'url'],
] as const) {
  test(`decodeBase64() refuses "${text}" in the ${alphabet} alphabet`, () => {
    assert.is(decodeBase64(Buffer.from(text), alphabet), undefined)
  })
}

test.run()
