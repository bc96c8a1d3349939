import * as assert from 'uvu/assert'
import { retry } from '../../../src/base/attempts/retry.ts'
import { KmsError } from '../../../src/base/errors.ts'
import { FakeClock } from '../../_lib/fake_clock.ts'
import { rejection, suite } from '../../_lib/uvu.ts'

const passing = new KmsError('Later', { code: 'throttled' })
const lasting = new KmsError('Never', { code: 'denied' })

const test = suite('base/attempts/retry', () => {
  const clock = new FakeClock()
  const controller = new AbortController()
  const retrying = { clock, random: () => 0.5, mayPass: (error: unknown) => error === passing }
  let turns = 0
  return {
    clock,
    controller,
    turns: () => turns,
    run: (failures: number, deadline: number, error: KmsError = passing) =>
      retry(
        () => {
          turns += 1
          return turns <= failures ? Promise.reject(error) : Promise.resolve('done')
        },
        retrying,
        { signal: controller.signal, deadline },
      ),
  }
})

test('what passes is done again, after pauses that grow', async ({ clock, turns, run }) => {
  const done = run(2, 10_000)

  await clock.advance(99)
  assert.is(turns(), 1)
  await clock.advance(1)
  assert.is(turns(), 2)
  await clock.advance(199)
  assert.is(turns(), 2)
  await clock.advance(1)

  assert.is(await done, 'done')
})

test('what lasts is not done again', async ({ turns, run }) => {
  assert.is(await rejection(run(9, 10_000, lasting)), lasting)
  assert.is(turns(), 1)
})

test('four turns are enough', async ({ clock, turns, run }) => {
  const failed = rejection(run(9, 10_000))
  await clock.advance(10_000)

  assert.is(await failed, passing)
  assert.is(turns(), 4)
})

test('nothing starts that could not end before the deadline', async ({ turns, run }) => {
  assert.is(await rejection(run(9, 199)), passing)
  assert.is(turns(), 1)
})

test('a pause ends with the signal', async ({ controller, run }) => {
  const reason = new KmsError('Enough', { code: 'cancelled' })
  const failed = rejection(run(9, 10_000))
  await new Promise((resolve) => {
    setTimeout(resolve, 0)
  })
  controller.abort(reason)

  assert.is(await failed, reason)
})

test.run()
