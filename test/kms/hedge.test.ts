import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import { KMS_ERROR_CODES, KmsError, type KmsErrorCode } from '../../src/base/errors.ts'
import { type Candidate, hedge } from '../../src/kms/hedge.ts'
import { FakeClock, settle } from '../_lib/fake_clock.ts'
import { rejection, suite } from '../_lib/uvu.ts'

const test = suite('kms/hedge', () => {
  const clock = new FakeClock()
  const controller = new AbortController()
  const call = { signal: controller.signal, deadline: 10_000 }
  const asked: string[] = []
  const cancelled: string[] = []
  const more: string[] = []
  /** Answers its name after `ms`, or fails with `code`. */
  const candidate = (name: string, ms: number, code?: KmsErrorCode): Candidate => ({
    name,
    hedgeAfterMs: 10,
    run: ({ signal }) => {
      asked.push(name)
      signal.addEventListener('abort', () => cancelled.push(name))
      return new Promise((resolve, reject) => {
        clock.after(ms, () => {
          if (code === undefined) resolve(Buffer.from(name))
          else reject(new KmsError(`${name} failed`, { code }))
        })
      })
    },
  })
  const ask = async (need: number, ...candidates: Candidate[]) => {
    const hedged = (name: string, reason: string) => more.push(`${name} ${reason}`)
    const answers = await hedge(candidates, need, { clock, hedged }, call)
    return answers.map((answer) => Buffer.from(answer).toString()).join('')
  }
  return { clock, controller, asked, cancelled, more, candidate, ask }
})

test('one candidate is asked alone', async ({ clock, candidate, ask, asked }) => {
  const answer = ask(1, candidate('a', 5), candidate('b', 5))
  await clock.advance(5)

  assert.is(await answer, 'a')
  assert.equal(asked, ['a'])
})

test('the next is asked once the first is slower than usual, and the faster answer counts', async ({
  clock,
  candidate,
  ask,
  asked,
  cancelled,
  more,
}) => {
  const answer = ask(1, candidate('a', 500), candidate('b', 5))
  await clock.advance(9)
  assert.equal(asked, ['a'])
  await clock.advance(6)

  assert.is(await answer, 'b')
  assert.equal(asked, ['a', 'b'])
  assert.ok(cancelled.includes('a'))
  assert.equal(more, ['b slow'])
})

test('an error moves on at once', async ({ clock, candidate, ask, more }) => {
  const answer = ask(1, candidate('a', 1, 'unavailable'), candidate('b', 1))
  await clock.advance(2)

  assert.is(await answer, 'b')
  assert.equal(more, ['b failed'])
})

test('two of three are asked at once, and the third only where one of them fails', async ({
  clock,
  candidate,
  ask,
  asked,
  more,
}) => {
  const answer = ask(2, candidate('a', 5), candidate('b', 1, 'denied'), candidate('c', 2))
  await settle()
  assert.equal(asked, ['a', 'b'])
  assert.equal(more, [], 'two are needed in any case')
  await clock.advance(5)

  assert.is(await answer, 'ca')
  assert.equal(more, ['c failed'])
})

test('it gives up as soon as too few can answer, with the error that may pass', async ({
  clock,
  candidate,
  ask,
}) => {
  const failed = rejection(
    ask(
      2,
      candidate('a', 1, 'ciphertext_invalid'),
      candidate('b', 2, 'unavailable'),
      candidate('c', 900),
    ),
  )
  await clock.advance(3)

  const error = (await failed) as KmsError
  assert.is(error.code, 'unavailable')
  assert.match(error.message, /^Fewer than 2 of 3 providers .*"a": a failed; "b": b failed$/)
})

test('an error that all agree on keeps its code', async ({ clock, candidate, ask }) => {
  const own = new Set<KmsErrorCode>(['request_invalid', 'ciphertext_empty', 'cancelled'])
  const ofProviders = KMS_ERROR_CODES.filter((code) => !own.has(code))
  const codes: KmsErrorCode[] = []
  for (const code of ofProviders) {
    const failed = rejection(ask(1, candidate('a', 1, code), candidate('b', 1, code)))
    await clock.advance(1)
    await clock.advance(1)
    codes.push(((await failed) as KmsError).code)
  }

  assert.equal(codes, ofProviders)
})

test('the error of a single candidate is its own', async ({ clock, candidate, ask }) => {
  const failed = rejection(ask(1, candidate('a', 1, 'denied')))
  await clock.advance(1)

  assert.is(((await failed) as KmsError).message, 'a failed')
})

test('it ends with its caller, and whoever was asked hears of it', async ({
  controller,
  candidate,
  ask,
  cancelled,
}) => {
  const reason = new KmsError('Enough', { code: 'cancelled' })
  const failed = rejection(ask(1, candidate('a', 900), candidate('b', 900)))
  await settle()

  controller.abort(reason)

  assert.is(await failed, reason)
  assert.equal(cancelled, ['a'])
})

test.run()
