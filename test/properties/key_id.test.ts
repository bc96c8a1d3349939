/** A key id is equal exactly where what it names is. @module */

import * as fc from 'fast-check'
import * as assert from 'uvu/assert'
import { inputsOf } from '../../src/kms/envelope.ts'
import { keyIdOf, type Member, type Scheme } from '../../src/kms/key_id.ts'
import { holds } from '../_lib/properties.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('properties/key_id', () => ({}))

/** Few values, so that equal ones are often drawn, and those that could run into each other. */
const text = fc.constantFrom(
  'a',
  'b',
  'ab',
  '1',
  '11',
  '"',
  '","',
  '\\',
  'é',
  'e\u0301',
  '\u{1f511}',
)
const member: fc.Arbitrary<Member> = fc.record(
  { providerId: text, version: text, createdAt: fc.constantFrom(0, 1, 11) },
  { noNullPrototype: true },
)
const scheme: fc.Arbitrary<Scheme> = fc.constantFrom<Scheme>(
  { scheme: 'any', k: 1 },
  { scheme: 'threshold', k: 1 },
  { scheme: 'threshold', k: 2 },
)
const inputs = fc
  .tuple(
    scheme,
    fc.uniqueArray(member, { minLength: 1, maxLength: 3, selector: (each) => each.providerId }),
    fc.subarray(['x'.repeat(43), 'y'.repeat(43)]),
  )
  .map(([spread, members, recipients]) => inputsOf(spread, members, recipients))

test('two are equal exactly where their inputs are', async () => {
  const known = new Map<string, string>()
  await holds(
    2_000,
    fc.property(inputs, inputs, (one, two) => {
      const same = JSON.stringify(one) === JSON.stringify(two)
      assert.is(keyIdOf(one) === keyIdOf(two), same)
      // Beside its neighbour, each is compared with all that came before.
      for (const each of [one, two]) {
        const [id, of] = [keyIdOf(each), JSON.stringify(each)]
        assert.is(known.get(id) ?? of, of)
        known.set(id, of)
      }
    }),
  )
})

test('the order in which the config names providers does not matter', async () => {
  await holds(
    300,
    fc.property(inputs, fc.nat(), (given, turn) => {
      const { members, recipients } = given
      const at = turn % members.length
      const turned = [...members.slice(at), ...members.slice(0, at)]
      assert.is(keyIdOf(inputsOf(given, turned, recipients)), keyIdOf(given))
    }),
  )
})

test('it is printable, in ASCII, and as long as API servers take', async () => {
  const any = fc.string({ unit: 'binary', minLength: 1, maxLength: 200 })
  await holds(
    500,
    fc.property(any, any, (providerId, version) => {
      const id = keyIdOf(inputsOf({ scheme: 'any', k: 1 }, [{ providerId, version, createdAt: 1 }]))
      assert.match(id, /^tr1-any-v[\w.]{1,12}-[\w-]{43}$/)
    }),
  )
})

test.run()
