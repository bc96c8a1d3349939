import * as assert from 'uvu/assert'
import { KmsError } from '../../src/base/errors.ts'
import { AdminKeeper } from '../../src/plugin/admin_keeper.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { FakeClock } from '../_lib/fake_clock.ts'
import { suite } from '../_lib/uvu.ts'

const RETRY_MS = 5_000

const test = suite('plugin/admin_keeper', () => ({
  clock: new FakeClock(),
  events: new RecordedEvents(),
}))

function unusable(why: string): KmsError {
  return new KmsError(`Admin server cannot listen (${why})`, { code: 'unavailable' })
}

test('open() is tried again until it works, and tells each reason once', async ({
  clock,
  events,
}) => {
  const answers = ['taken', 'taken', 'taken', 'foreign', 'foreign']
  let closed = 0
  const start = () => {
    const why = answers.shift()
    if (why !== undefined) return Promise.reject(unusable(why))
    return Promise.resolve({ close: () => Promise.resolve(void closed++) })
  }
  const keeper = new AdminKeeper(start, { clock, events, takeOver: false })

  await keeper.open()
  await clock.advance(4 * RETRY_MS)
  assert.equal([answers.length, events.notices()], [0, ['admin_waits', 'admin_waits']])
  await clock.advance(3 * RETRY_MS)
  await keeper.close()

  assert.is(closed, 1)
  assert.not.ok(keeper.trying)
  assert.is(events.notices().length, 2)
})

test('close() ends the tries, and a server that comes later is closed at once', async ({
  clock,
  events,
}) => {
  const { promise, resolve } = Promise.withResolvers<{ close(): Promise<void> }>()
  let tries = 0
  let closed = 0
  const start = () => {
    tries++
    return promise
  }
  const keeper = new AdminKeeper(start, { clock, events, takeOver: false })
  const opened = keeper.open()
  assert.ok(keeper.trying)

  await keeper.close()
  resolve({ close: () => Promise.resolve(void closed++) })
  await opened
  await clock.advance(10 * RETRY_MS)

  assert.equal([tries, closed, events.notices()], [1, 1, []])
})

test('open() after a hand-over is an alarm only once nobody can be about to stop', async ({
  clock,
  events,
}) => {
  const start = () => Promise.reject(unusable('taken'))
  const keeper = new AdminKeeper(start, { clock, events, takeOver: true })
  const levels = () => events.all.flatMap((event) => (event.type === 'notice' ? [event.level] : []))

  await keeper.open()
  await clock.advance(20_000)
  assert.equal(levels(), ['info'])
  await clock.advance(60_000)
  await keeper.close()

  assert.equal(levels(), ['info', 'warn'])
})

test('close() ends the tries of an address that cannot be had', async ({ clock, events }) => {
  let tries = 0
  const start = () => {
    tries++
    return Promise.reject(unusable('taken'))
  }
  const keeper = new AdminKeeper(start, { clock, events, takeOver: true })
  await keeper.open()

  await keeper.close()
  await clock.advance(10 * RETRY_MS)

  assert.is(tries, 1)
})

test.run()
