/** Which version encrypts: every node chooses the same one at the same time, and none goes back. @module */

import * as fc from 'fast-check'
import * as assert from 'uvu/assert'
import type { KeyState, KeyVersion } from '../../src/base/provider.ts'
import { activation, succession } from '../../src/kms/rotation.ts'
import { holds } from '../_lib/properties.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('properties/rotation', () => ({}))

const DELAY_MS = 600_000
const DAY_S = 86_400

/** Oldest first, with labels that count; some were disabled, some claim to be from the future. */
const versions = fc
  .array(
    fc.record({
      createdAt: fc.integer({ min: 0, max: 3 * DAY_S }),
      mayEncrypt: fc.boolean(),
      mayDecrypt: fc.boolean(),
    }),
    { minLength: 1, maxLength: 6 },
  )
  .map((all) =>
    all
      .toSorted((a, b) => a.createdAt - b.createdAt)
      .map((each, at): KeyVersion => ({ ...each, label: String(at + 1) })),
  )
/** At any time, and often within a moment of when a version is old enough. */
const timed = versions.chain((all) => {
  const ripe = all.map(({ createdAt }) => createdAt * 1_000 + DELAY_MS)
  const near = fc.tuple(fc.constantFrom(...ripe), fc.integer({ min: -2, max: 2 }))
  const at = fc.oneof(
    fc.integer({ min: 0, max: 4 * DAY_S * 1_000 }),
    near.map(([time, off]) => time + off),
  )
  return fc.tuple(fc.constant(all), at)
})

function stateOf(all: readonly KeyVersion[]): KeyState {
  return { selectable: true, versions: all, serviceTime: undefined }
}

const isUsable = ({ mayEncrypt, mayDecrypt }: KeyVersion) => mayEncrypt && mayDecrypt

test('as the model says: the newest usable version that is old enough, or the oldest usable one', async () => {
  await holds(
    2_000,
    fc.property(timed, ([all, at]) => {
      const { active, pending } = activation(stateOf(all), at, DELAY_MS)
      const usable = all.filter(isUsable)
      const old = usable.filter(({ createdAt }) => createdAt * 1_000 + DELAY_MS <= at)
      const expected = old.at(-1) ?? usable[0]
      assert.is(active?.label, expected?.label)
      const next = expected === undefined ? undefined : usable[usable.indexOf(expected) + 1]
      assert.is(pending?.label, next?.label)
    }),
  )
})

test('time alone never goes back to an older version, and what waits takes over when it was said', async () => {
  await holds(
    2_000,
    fc.property(timed, fc.integer({ min: 0, max: DAY_S * 1_000 }), ([all, at], laterMs) => {
      const place = (time: number) =>
        all.findIndex(
          ({ label }) => label === activation(stateOf(all), time, DELAY_MS).active?.label,
        )
      assert.ok(place(at + laterMs) >= place(at))
      const { pending, switchInMs } = activation(stateOf(all), at, DELAY_MS)
      if (pending === undefined || switchInMs === undefined) return
      // A version from the future waits until its time has come; the rest is said to the millisecond.
      const from = Math.max(at, pending.createdAt * 1_000)
      const due = activation(stateOf(all), from + DELAY_MS, DELAY_MS)
      assert.ok(all.findIndex(({ label }) => label === due.active?.label) >= all.indexOf(pending))
      if (pending.createdAt * 1_000 > at || switchInMs === 0) return
      assert.is(
        activation(stateOf(all), at + switchInMs - 1, DELAY_MS).pending?.label,
        pending.label,
      )
      assert.is.not(
        activation(stateOf(all), at + switchInMs, DELAY_MS).pending?.label,
        pending.label,
      )
    }),
  )
})

/** What one look saw, and what the next one shows: both parts of the same history. */
const looks = fc.tuple(versions, fc.nat(), fc.nat()).map(([all, hidden, known]) => ({
  all,
  seen: all.slice(0, 1 + (known % all.length)),
  shown: all.slice(hidden % all.length),
}))

test('a key that only got new versions and hid old ones is never taken for another key', async () => {
  await holds(
    1_000,
    fc.property(looks, ({ seen, shown }) => {
      const [newestSeen, newest] = [seen.at(-1), shown.at(-1)]
      if (newestSeen === undefined || newest === undefined) return
      const kept = shown.includes(newestSeen)
      const lags = !kept && newest.createdAt <= newestSeen.createdAt
      const same = newest === newestSeen ? 'same' : 'newer'
      assert.is(succession(seen, shown), lags ? 'lagging' : same)
    }),
  )
})

test('a key whose versions were made again under their labels, or whose newest is gone, is never taken for the same', async () => {
  await holds(
    1_000,
    fc.property(looks, ({ all, seen, shown }) => {
      const made = shown.map((each) => ({ ...each, createdAt: each.createdAt + 1 }))
      const overlap = made.some(({ label }) => seen.some((each) => each.label === label))
      if (overlap) assert.is(succession(seen, made), 'recreated')
      const before = seen.slice(0, -1)
      assert.is(succession(seen, before), 'lagging', `a backup of ${before.length}/${all.length}`)
    }),
  )
})

test.run()
