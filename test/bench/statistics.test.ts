/** What the bench makes of its samples. @module */

import * as assert from 'uvu/assert'
import { suite } from '../_lib/uvu.ts'
import { slopeOf } from './statistics.ts'

const test = suite('bench/statistics', () => ({}))

test('slopeOf() finds a line exactly, without an error', () => {
  const points = [1, 2, 4, 8].map((x) => ({ x, y: 100 - 3 * x }))

  assert.equal(slopeOf(points), { slope: -3, error: 0 })
})

test('slopeOf() tells how sure it is of points that lie on no line', () => {
  const points = [
    { x: 0, y: 0 },
    { x: 1, y: 2 },
    { x: 2, y: 1 },
    { x: 3, y: 3 },
  ]

  const { slope, error } = slopeOf(points)

  assert.is(slope, 0.8)
  assert.is(error.toFixed(4), Math.sqrt(1.8 / 2 / 5).toFixed(4))
})

test('slopeOf() knows nothing of one point', () => {
  assert.ok(Number.isNaN(slopeOf([{ x: 1, y: 1 }]).slope))
})

test.run()
