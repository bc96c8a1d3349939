import * as assert from 'uvu/assert'
import { median, quantile } from '../../../src/tools/load/quantile.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('tools/load/quantile', () => ({}))

test('quantile() takes values in any order and lies between neighbours', () => {
  assert.is(quantile([30, 10, 20], 0.5), 20)
  assert.is(quantile([1, 2], 0.25), 1.25)
  assert.is(quantile([7], 0.99), 7)
  assert.is(median([10, 9, 100, 2]), 9.5)
  assert.ok(Number.isNaN(median([])))
})

test.run()
