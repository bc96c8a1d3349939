import * as assert from 'uvu/assert'
import { SeededRandom } from '../_lib/seeded_random.ts'
import { suite } from '../_lib/uvu.ts'
import { agedGrowthOf, growthOf } from './growth.ts'

const SAMPLES = 600
const HOURS = 0.5

const test = suite('endurance/growth', () => ({}))

/** A heap of 40 MB that fills by 12 MB and is collected, again and again. */
function saw(random: SeededRandom, leakPerHour: number) {
  return Array.from({ length: SAMPLES }, (_, index) => {
    const x = (index / SAMPLES) * HOURS
    return { x, y: 40 + (index % 17) * 0.7 + random.below(1_000) / 1_000 + leakPerHour * x }
  })
}

test('garbage that comes and goes is no growth', () => {
  const grown = Array.from({ length: 40 }, (_, seed) => growthOf(saw(new SeededRandom(seed), 0)))
  const wrong = grown.filter(({ grows }) => grows).length
  assert.ok(wrong <= 4, `${wrong} of 40`)
})

test('a leak of four megabytes in half an hour is seen below garbage of twelve', () => {
  for (let seed = 0; seed < 40; seed += 1) {
    const grown = growthOf(saw(new SeededRandom(seed), 8))
    assert.ok(grown.grows, `seed ${seed}: ${grown.slope} with a margin of ${grown.margin}`)
  }
})

/** From the fifth minute on, what {@link saw} does above what the age adds by its logarithm. */
function aged(random: SeededRandom, perDoubling: number, leakPerHour: number) {
  return saw(random, 0).map(({ x, y }) => {
    const age = x * 2 + 1 / 12
    return { x: age, y: y + perDoubling * Math.log2(age) + leakPerHour * age }
  })
}

test('what each doubling of the age adds is no growth by it, and is told', () => {
  const grown = Array.from({ length: 40 }, (_, seed) =>
    agedGrowthOf(aged(new SeededRandom(seed), 2, 0)),
  )
  const wrong = grown.filter(({ grows }) => grows).length
  assert.ok(wrong <= 4, `${wrong} of 40`)
  const mean = grown.reduce((sum, { perDoubling }) => sum + perDoubling, 0) / grown.length
  assert.ok(Math.abs(mean - 2) < 0.1, String(mean))
})

test('a leak of four megabytes an hour is seen beside it', () => {
  for (let seed = 0; seed < 40; seed += 1) {
    const grown = agedGrowthOf(aged(new SeededRandom(seed), 2, 4))
    assert.ok(grown.grows, `seed ${seed}: ${grown.slope} with a margin of ${grown.margin}`)
  }
})

test('slope and doublings of a curve without noise are found exactly', () => {
  const curve = Array.from({ length: SAMPLES }, (_, index) => {
    const x = 1 + index / SAMPLES
    return { x, y: 7 + 3 * x + 5 * Math.log2(x) }
  })
  const { slope, perDoubling } = agedGrowthOf(curve)
  assert.ok(Math.abs(slope - 3) < 0.2, String(slope))
  assert.ok(Math.abs(perDoubling - 5) < 0.2, String(perDoubling))
})

test('what stays the same has no slope and no error', () => {
  const flat = Array.from({ length: SAMPLES }, (_, x) => ({ x, y: 23 }))
  const { slope, margin, grows, first, last } = growthOf(flat)
  assert.equal(
    { slope, margin, grows, first, last },
    { slope: 0, margin: 0, grows: false, first: 23, last: 23 },
  )
})

test('a growth by one descriptor in all is seen', () => {
  const step = Array.from({ length: SAMPLES }, (_, x) => ({
    x,
    y: 20 + (x > SAMPLES * 0.6 ? 1 : 0),
  }))
  assert.ok(growthOf(step).grows)
})

test('a run too short to tell is refused', () => {
  assert.throws(() => growthOf([{ x: 0, y: 1 }]), /too few/)
})

test.run()
