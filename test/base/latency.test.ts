import * as assert from 'uvu/assert'
import { Latency } from '../../src/base/latency.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('base/latency', () => ({ latency: new Latency() }))

test('nothing is known before the first answer', ({ latency }) => {
  assert.is(latency.typical, undefined)
  assert.is(latency.p95, undefined)
})

test('the 95th of a hundred is of the latest answers', ({ latency }) => {
  for (let turn = 0; turn < 200; turn += 1) latency.observe(100)
  for (let turn = 0; turn < 64; turn += 1) latency.observe(turn < 58 ? 1 : 9)

  assert.is(latency.p95, 9)
  for (let turn = 0; turn < 64; turn += 1) latency.observe(2)
  assert.is(latency.p95, 2)
})

test('what was given up counts where it was slow, and not where it was given up early', ({
  latency,
}) => {
  for (let turn = 0; turn < 20; turn += 1) latency.observe(5)

  latency.observeNone(1)
  assert.is(latency.typical, 5)
  latency.observeNone(10)

  assert.is(latency.typical, 6)
})

test('what is typical follows a provider that becomes slow within some answers', ({ latency }) => {
  for (let turn = 0; turn < 50; turn += 1) latency.observe(1)
  assert.is(latency.typical, 1)

  for (let turn = 0; turn < 10; turn += 1) latency.observe(20)

  assert.ok((latency.typical ?? 0) > 15)
})

test.run()
