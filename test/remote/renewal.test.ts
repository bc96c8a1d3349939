import * as assert from 'uvu/assert'
import { KmsError } from '../../src/base/errors.ts'
import { Renewal, tellToken } from '../../src/remote/renewal.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { FakeClock } from '../_lib/fake_clock.ts'
import { suite } from '../_lib/uvu.ts'

const HOUR_MS = 3_600_000

const test = suite('remote/renewal', () => {
  const clock = new FakeClock()
  let renewed = 0
  const of = (random = 0.5) =>
    new Renewal({ clock, random: () => random }, () => {
      renewed += 1
    })
  /** Milliseconds until the next renewal. */
  const until = async (limitMs = HOUR_MS) => {
    const [start, before] = [clock.monotonic(), renewed]
    while (renewed === before && clock.monotonic() - start < limitMs) await clock.advance(50)
    return clock.monotonic() - start
  }
  return { clock, renewed: () => renewed, of, until }
})

for (const [random, part] of [
  [0, 0.65],
  [0.5, 0.7],
  [1, 0.75],
] as const) {
  test(`inTimeFor() comes at ${part} of a life where chance is ${random}`, async ({
    clock,
    renewed,
    of,
  }) => {
    of(random).inTimeFor(HOUR_MS)
    await clock.advance(HOUR_MS * part - 1)
    assert.is(renewed(), 0)
    await clock.advance(2)
    assert.is(renewed(), 1)
  })
}

test('inTimeFor() keeps the least pause that is asked for', async ({ of, until }) => {
  of().inTimeFor(100, 1_000)

  assert.is(await until(), 1_000)
})

test('afterFailure() waits twice as long each time, up to 30 s, until there is a success', async ({
  of,
  until,
}) => {
  const renewal = of()
  const pauses: number[] = []
  for (let turn = 0; turn < 7; turn += 1) {
    const said = renewal.afterFailure()
    assert.is(await until(), said)
    pauses.push(said)
  }
  renewal.inTimeFor(HOUR_MS)

  assert.equal(pauses, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000])
  assert.is(renewal.afterFailure(), 1_000)
})

test('there is one renewal ahead, the one that was said last', async ({ clock, renewed, of }) => {
  const renewal = of()
  renewal.inTimeFor(1_000)
  renewal.after(10_000)
  await clock.advance(9_999)
  assert.is(renewed(), 0)
  await clock.advance(HOUR_MS)
  assert.is(renewed(), 1)
})

test('after cancel() none comes until the next is said, after close() none at all', async ({
  clock,
  renewed,
  of,
}) => {
  const renewal = of()
  renewal.after(1_000)
  renewal.cancel()
  await clock.advance(HOUR_MS)
  assert.is(renewed(), 0)
  renewal.after(1_000)
  await clock.advance(1_000)
  assert.is(renewed(), 1)
  renewal.close()
  renewal.afterFailure()
  renewal.after(1_000)
  await clock.advance(HOUR_MS)
  assert.is(renewed(), 1)
})

test('tellToken() tells the life of a token, or why there is none', () => {
  const events = new RecordedEvents()
  const holder = { events, provider: 'one' }
  const error = new KmsError('No', { code: 'denied' })
  tellToken(holder, { action: 'login', method: 'jwt' }, 60)
  tellToken(holder, { action: 'renew', method: 'jwt' }, error)

  const base = { type: 'token', provider: 'one', method: 'jwt' }
  assert.equal(events.all, [
    { ...base, action: 'login', code: 'ok', ttlSeconds: 60 },
    { ...base, action: 'renew', code: 'denied', error },
  ])
})

test.run()
