import * as assert from 'uvu/assert'
import { LastHourRing } from '../../src/observe/last_hour.ts'
import { suite } from '../_lib/uvu.ts'

const MINUTE_MS = 60_000
const START = Date.UTC(2026, 10, 23, 12)

const test = suite('observe/last_hour', () => {
  const clock = { now: START + 30_000 }
  const ring = new LastHourRing(() => clock.now)
  const request = (durationMs: number, code: 'ok' | 'denied' = 'ok') =>
    ring.take({ type: 'request', api: 'v2', method: 'Encrypt', code, durationMs })
  return { clock, ring, request }
})

test('it counts by the minute from the start on, and failures apart', ({
  clock,
  ring,
  request,
}) => {
  request(1)
  clock.now += 2 * MINUTE_MS
  request(1)
  request(1, 'denied')

  const { from, requests } = ring.report()
  assert.is(from, '2026-11-23T12:00:00.000Z')
  assert.equal(requests['Encrypt']?.count, [1, 0, 2])
  assert.equal(requests['Encrypt']?.failed, [0, 0, 1])
  assert.equal(requests['Decrypt']?.count, [0, 0, 0])
})

test('it has sixty minutes and forgets what is older, also after a long silence', ({
  clock,
  ring,
  request,
}) => {
  request(1)
  clock.now += 59 * MINUTE_MS
  assert.is(ring.report().requests['Encrypt']?.count[0], 1)
  clock.now += MINUTE_MS
  assert.equal(new Set(ring.report().requests['Encrypt']?.count), new Set([0]))
  clock.now += 1_000 * MINUTE_MS
  request(1)
  const { count = [] } = ring.report().requests['Encrypt'] ?? {}
  assert.equal([count.length, count.at(-1)], [60, 1])
})

test('quantiles are within two fifths of the truth, and null where nothing happened', ({
  clock,
  ring,
  request,
}) => {
  for (let ms = 1; ms <= 100; ms += 1) request(ms)
  clock.now += MINUTE_MS

  const { p50Ms, p99Ms } = ring.report().requests['Encrypt'] ?? { p50Ms: [], p99Ms: [] }
  const isNear = (value: number | null | undefined, truth: number) =>
    value != null && value > truth / 1.42 && value < truth * 1.42
  assert.ok(isNear(p50Ms[0], 50), String(p50Ms))
  assert.ok(isNear(p99Ms[0], 99), String(p99Ms))
  assert.equal([p50Ms[1], p99Ms[1]], [null, null])
})

test('the longest and the strangest durations have their place', ({ ring, request }) => {
  for (const ms of [0, -1, Number.NaN, 1e9, Number.POSITIVE_INFINITY]) request(ms)

  assert.equal(ring.report().requests['Encrypt']?.count, [5])
})

test('wraps and unwraps are counted by provider, and probes of its key are not', ({ ring }) => {
  const call = { type: 'provider_call', provider: 'bao', items: 1, durationMs: 1 } as const
  ring.take({ ...call, operation: 'wrap', code: 'ok' })
  ring.take({ ...call, operation: 'unwrap', code: 'timeout' })
  ring.take({ ...call, operation: 'key_state', code: 'ok' })

  const { count, failed } = ring.report().providers['bao'] ?? {}
  assert.equal([count, failed], [[2], [1]])
})

test('a clock that is set back loses nothing that is still to come', ({ clock, ring, request }) => {
  clock.now -= 10 * MINUTE_MS
  request(1)

  assert.is(ring.report().requests['Encrypt']?.count.at(-1), 1)
})

test.run()
