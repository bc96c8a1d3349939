/**
 * Which version signs, and which are published, at several nodes that look at one key: no token is
 * ever refused while it lives, none is signed by a key that others do not publish, and what no
 * token needs is published no more.
 *
 * @module
 */

import * as fc from 'fast-check'
import * as assert from 'uvu/assert'
import { type KnownVersion, keySetAt, MARGIN_MS } from '../../src/signer/key_set.ts'
import { compared } from '../../src/signer/known_versions.ts'
import { holds } from '../_lib/properties.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('properties/signing_keys', () => ({}))

const DELAY_MS = 900_000
const LIFE_MS = 24 * 3_600_000
/** Nodes look at the key at least this often. */
const LOOK_MS = 60_000
const END_MS = 200 * 3_600_000
const BASE = { sourceId: 'source', activationDelayMs: DELAY_MS, maxTokenLifeMs: LIFE_MS }
const NOBODY: ReadonlySet<string> = new Set()

/** When the versions were made, in seconds, oldest first. */
const making = fc
  .array(fc.integer({ min: 0, max: 100 * 3_600 }), { minLength: 1, maxLength: 5 })
  .map((times) => [...new Set(times)].toSorted((a, b) => a - b))

type Known = KnownVersion

function toldAt(made: readonly number[], at: number) {
  return made
    .filter((createdAt) => createdAt * 1_000 <= at)
    .map((createdAt) => ({ label: String(createdAt), createdAt, kid: `kid-${createdAt}` }))
}

/** What a node knows at the time, when it last looked `lag` before, with or without a state. */
function knownAt(made: readonly number[], at: number, lag: number, withState: boolean): Known[] {
  const look = (known: readonly Known[], time: number) => [
    ...compared(known, toldAt(made, time), { ...BASE, now: time, distrusted: NOBODY }).known,
  ]
  if (!withState) return look([], at - lag)
  // Looks around each moment at which something changes are as good as looks at all times.
  const moments = made
    .flatMap((each) => [each * 1_000, each * 1_000 + DELAY_MS])
    .filter((each) => each < at - lag)
    .toSorted((a, b) => a - b)
  return [...moments, at - lag].reduce<Known[]>(look, [])
}

const scene = fc.record({
  made: making,
  /** Of the version that is asked about, and how far from its first or last moment. */
  pick: fc.nat(),
  off: fc.integer({ min: -3_000, max: 3_000 }),
  anywhere: fc.option(fc.integer({ min: 0, max: END_MS })),
  lags: fc.tuple(fc.integer({ min: 0, max: LOOK_MS }), fc.integer({ min: 0, max: LOOK_MS })),
  states: fc.tuple(fc.boolean(), fc.boolean()),
  /** How much of its life the token has behind it when it is checked. */
  age: fc.oneof(fc.constant(LIFE_MS), fc.constant(0), fc.integer({ min: 0, max: LIFE_MS })),
})

test('a token that one node signs is good at every other one for as long as it lives [J12]', async () => {
  await holds(
    3_000,
    fc.property(scene, ({ made, pick, off, anywhere, lags, states, age }) => {
      const first = (made[0] ?? 0) * 1_000 + LOOK_MS
      const near = (made[pick % made.length] ?? 0) * 1_000 + DELAY_MS + off
      const signedAt = Math.max(anywhere ?? near, first)
      const { signing } = keySetAt(knownAt(made, signedAt, lags[0], states[0]), signedAt, BASE)
      const checkedAt = signedAt + age
      const { published } = keySetAt(knownAt(made, checkedAt, lags[1], states[1]), checkedAt, BASE)

      assert.ok(signing !== undefined)
      assert.ok(published.some(({ kid }) => kid === signing.kid))
    }),
  )
})

test('a version is published for its whole delay before it signs, but for the first', async () => {
  await holds(
    1_000,
    fc.property(making, fc.integer({ min: 0, max: END_MS }), (made, random) => {
      const at = Math.max(random, (made[0] ?? 0) * 1_000)
      const { signing } = keySetAt(knownAt(made, at, 0, true), at, BASE)
      if (signing === undefined || signing.createdAt === made[0]) return
      assert.ok(at >= signing.createdAt * 1_000 + DELAY_MS)
      const then = signing.createdAt * 1_000 + 1
      const before = keySetAt(knownAt(made, then, 0, true), then, BASE).published
      assert.ok(before.some(({ kid }) => kid === signing.kid))
    }),
  )
})

test('what the last token of a version needs no more is published no more', async () => {
  await holds(
    1_000,
    fc.property(making, fc.boolean(), (made, withState) => {
      const last = made.at(-1) ?? 0
      const at = last * 1_000 + DELAY_MS + LIFE_MS + MARGIN_MS + 1
      const { published } = keySetAt(knownAt(made, at, 0, withState), at, BASE)
      assert.equal(
        published.map(({ kid }) => kid),
        [`kid-${last}`],
      )
    }),
  )
})

test.run()
