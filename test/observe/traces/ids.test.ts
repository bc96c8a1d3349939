/** A request's own id is its trace's, unless a trace context came; nothing but a right one counts. @module */

import { randomUUID } from 'node:crypto'
import * as assert from 'uvu/assert'
import { isSampled, parentOf, randomId, traceIdOf } from '../../../src/observe/traces/ids.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('observe/traces/ids', () => ({}))

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const SPAN = 'b7ad6b7169203331'

for (const [uid, id] of [
  ['0af76519-16cd-43dd-8448-eb211c80319c', TRACE],
  ['0AF76519-16CD-43DD-8448-EB211C80319C', TRACE],
  ['00000000-0000-0000-0000-000000000001', '00000000000000000000000000000001'],
  ['00000000-0000-0000-0000-000000000000', undefined],
  [undefined, undefined],
  ['', undefined],
  [TRACE, undefined],
  ['{0af76519-16cd-43dd-8448-eb211c80319c}', undefined],
  ['0af76519-16cd-43dd-8448-eb211c80319c\n', undefined],
  ['0af76519-16cd-43dd-8448-eb211c80319c0', undefined],
  ['0af76519-16cd-43dd-8448-eb211c80319g', undefined],
  ['0af7651916cd-43dd-8448-eb211c80319c----', undefined],
  ['０af76519-16cd-43dd-8448-eb211c80319c', undefined],
] as const) {
  test(`traceIdOf() of ${JSON.stringify(uid)} is ${id}`, () => {
    assert.is(traceIdOf(uid), id)
  })
}

test('parentOf() takes over ids and the sampled flag of version 00', () => {
  const parent = { traceId: TRACE, spanId: SPAN }
  assert.equal(parentOf(`00-${TRACE}-${SPAN}-01`), { ...parent, sampled: true })
  assert.equal(parentOf(`00-${TRACE}-${SPAN}-00`), { ...parent, sampled: false })
  assert.equal(parentOf(`00-${TRACE}-${SPAN}-03`), { ...parent, sampled: true })
  assert.equal(parentOf(`00-${TRACE}-${SPAN}-fe`), { ...parent, sampled: false })
})

for (const text of [
  undefined,
  '',
  '00',
  `00-${TRACE}-${SPAN}`,
  `00-${TRACE}-${SPAN}-`,
  `00-${TRACE}-${SPAN}-1`,
  `00-${TRACE}-${SPAN}-01-`,
  `00-${TRACE}-${SPAN}-01-more`,
  `00-${TRACE}-${SPAN}-01\n`,
  ` 00-${TRACE}-${SPAN}-01`,
  `00-${TRACE}-${SPAN}-0g`,
  `00-${'0'.repeat(32)}-${SPAN}-01`,
  `00-${TRACE}-${'0'.repeat(16)}-01`,
  `00-${TRACE.toUpperCase()}-${SPAN}-01`,
  `00-${TRACE}-${SPAN.toUpperCase()}-01`,
  `00-${TRACE.slice(1)}-${SPAN}-01`,
  `00-${TRACE}0-${SPAN}-01`,
  `00-${TRACE}-${SPAN}0-01`,
  `00_${TRACE}_${SPAN}_01`,
  `01-${TRACE}-${SPAN}-01`,
  `ff-${TRACE}-${SPAN}-01`,
  `00-${TRACE}-${SPAN}-01,00-${TRACE}-${SPAN}-01`,
  `00-${'0'.repeat(1_000_000)}`,
]) {
  test(`parentOf() refuses ${JSON.stringify(text?.slice(0, 80))}`, () => {
    assert.is(parentOf(text), undefined)
  })
}

test('randomId() is hex of its length, and never zeros', () => {
  const given = [new Uint8Array(8), new Uint8Array(8).fill(0x0f)]
  assert.is(
    randomId(8, () => given.shift() ?? new Uint8Array()),
    '0f'.repeat(8),
  )
  assert.is(given.length, 0)
  assert.is(
    randomId(16, (bytes) => new Uint8Array(bytes).fill(0xa0)),
    'a0'.repeat(16),
  )
})

test('isSampled() takes all at 1, none at 0, and is decided by the last seven bytes alone', () => {
  const [low, high] = [`${'f'.repeat(18)}${'0'.repeat(14)}`, `${'0'.repeat(18)}${'f'.repeat(14)}`]
  assert.equal([isSampled(low, 1), isSampled(high, 1)], [true, true])
  assert.equal([isSampled(low, 0), isSampled(high, 0)], [false, false])
  const half = `${'0'.repeat(18)}80${'0'.repeat(12)}`
  assert.equal([isSampled(half, 0.5), isSampled(half, 0.49)], [true, false])
  assert.is(isSampled(`${'f'.repeat(18)}7${'f'.repeat(13)}`, 0.5), false)
})

for (const ratio of [0.1, 0.25, 0.5, 0.75]) {
  test(`isSampled() takes ${ratio} of the UUIDs that API servers make`, () => {
    const ids = Array.from({ length: 4_000 }, () => traceIdOf(randomUUID()) ?? '')

    const part = ids.filter((id) => isSampled(id, ratio)).length / ids.length

    // Six standard deviations and more.
    assert.ok(Math.abs(part - ratio) < 0.05, String(part))
  })
}

test.run()
