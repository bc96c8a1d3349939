import * as assert from 'uvu/assert'
import { ServiceClock } from '../../src/base/service_clock.ts'
import { SeededRandom } from '../_lib/seeded_random.ts'
import { suite } from '../_lib/uvu.ts'

const NOON = 1_800_000_000_000

const test = suite('base/service_clock', () => ({ clock: new ServiceClock() }))

function cut(ms: number): number {
  return Math.floor(ms / 1_000) * 1_000
}

test('timeAt() is what the first answer said', ({ clock }) => {
  assert.is(clock.timeAt(NOON, 5_000, 5_010), NOON)
})

test('timeAt() comes closer to the real time with every answer, and never ahead of it', ({
  clock,
}) => {
  const random = new SeededRandom(1)
  let errorMs = Number.POSITIVE_INFINITY

  for (let asked = 0; asked < 40; asked += 1) {
    const at = asked * 30_000 + random.below(6_000)
    errorMs = NOON + at - clock.timeAt(cut(NOON + at), at - 5, at)
    assert.ok(errorMs >= 0 && errorMs < 1_000, `${errorMs} ms behind`)
  }

  assert.ok(errorMs < 200, `${errorMs} ms behind`)
})

for (const stepMs of [-3_600_000, -5_000, 5_000, 3_600_000]) {
  test(`timeAt() follows at once when the service's clock is set by ${stepMs} ms`, ({ clock }) => {
    for (let at = 0; at < 300_000; at += 29_300) clock.timeAt(cut(NOON + at), at - 5, at)

    const at = 330_000
    const said = cut(NOON + at + stepMs)

    assert.is(clock.timeAt(said, at - 5, at), said)
  })
}

test('timeAt() follows a clock that goes slower than ours', ({ clock }) => {
  const slow = 0.999
  let aheadMs = 0

  for (let at = 0; at < 3_600_000; at += 29_300) {
    aheadMs = clock.timeAt(cut(NOON + at * slow), at - 5, at) - (NOON + at * slow)
  }

  assert.ok(aheadMs < 1_000, `${aheadMs} ms ahead`)
})

test.run()
