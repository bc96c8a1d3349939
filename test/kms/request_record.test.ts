/** What a request's record says of the keys that it asked for, and of the calls that carried it. @module */

import * as assert from 'uvu/assert'
import { KmsError } from '../../src/base/errors.ts'
import type { Outcome } from '../../src/base/provider.ts'
import { newRecord, type RequestRecord } from '../../src/base/request_record.ts'
import { BatchedProvider } from '../../src/kms/batched_provider.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { FakeClock, settle } from '../_lib/fake_clock.ts'
import { rejection, suite } from '../_lib/uvu.ts'

const test = suite('kms/request_record', () => {
  const clock = new FakeClock()
  const events = new RecordedEvents()
  const sent: PromiseWithResolvers<readonly Outcome<Uint8Array>[]>[] = []
  const answer = () => {
    const next = Promise.withResolvers<readonly Outcome<Uint8Array>[]>()
    sent.push(next)
    return next.promise
  }
  const provider = {
    id: 'p',
    limits: { plaintextBytes: 64, overheadBytes: 64, batchItems: 4 },
    keyState: () => Promise.reject(new Error('not asked')),
    wrap: answer,
    unwrap: answer,
    describe: () => ({ type: 'fake', key: 'k' }),
    close: () => Promise.resolve(),
  }
  const batched = new BatchedProvider('first', provider, { clock, events })
  const call = (record?: RequestRecord) => ({
    signal: new AbortController().signal,
    deadline: clock.monotonic() + 1_000,
    record,
  })
  const wrapped = (text: string) => ({
    version: '3',
    bytes: new TextEncoder().encode(text),
    associatedData: new Uint8Array(32),
  })
  const done = (items: number) =>
    Array.from({ length: items }, () => ({ ok: true, value: Uint8Array.of(1) }) as const)
  return { clock, events, sent, batched, call, wrapped, done }
})

test('requests of one batch have one batch in their records, and its event names them', async ({
  clock,
  events,
  sent,
  batched,
  call,
  wrapped,
  done,
}) => {
  const [one, two] = [newRecord(undefined), newRecord('00-a')]
  const both = [
    batched.unwrap(wrapped('a'), call(one)),
    batched.unwrap(wrapped('b'), call(two)),
    batched.unwrap(wrapped('c'), call()),
  ]
  await settle()
  await clock.advance(5)
  sent[0]?.resolve(done(3))
  await Promise.all(both)

  const [use] = one.uses
  assert.is(use?.batch, two.uses[0]?.batch)
  assert.equal(
    use?.batch?.uses.map(({ request }) => request),
    [one, two],
  )
  const { provider, operation, keyVersion, durationMs, code } = use ?? {}
  assert.equal(
    { provider, operation, keyVersion, durationMs, code },
    { provider: 'first', operation: 'unwrap', keyVersion: '3', durationMs: 5, code: 'ok' },
  )
  const told = events.of('provider_call')
  assert.is(told.length, 1)
  assert.is(told[0]?.batch, use?.batch)
})

test('an equal unwrap that comes later has the batch that is under way', async ({
  sent,
  batched,
  call,
  wrapped,
  done,
}) => {
  const [one, two] = [newRecord(undefined), newRecord(undefined)]
  const first = batched.unwrap(wrapped('a'), call(one))
  await settle()
  const second = batched.unwrap(wrapped('a'), call(two))
  sent[0]?.resolve(done(1))
  await Promise.all([first, second])

  assert.is(sent.length, 1)
  assert.is(two.uses[0]?.batch, one.uses[0]?.batch)
  assert.is(one.uses[0]?.batch?.uses.length, 2)
})

test('a failure is written down with its code, and a wrap under its version', async ({
  sent,
  batched,
  call,
}) => {
  const record = newRecord(undefined)
  const item = { plaintext: Uint8Array.of(1), associatedData: new Uint8Array(32) }
  const failing = rejection(batched.wrap('7', item, call(record)))
  await settle()
  sent[0]?.reject(new KmsError('Away', { code: 'unavailable' }))
  await failing

  const [use] = record.uses
  assert.equal([use?.operation, use?.keyVersion, use?.code], ['wrap', '7', 'unavailable'])
})

test('without a record nothing is written down', async ({
  events,
  sent,
  batched,
  call,
  wrapped,
  done,
}) => {
  const opened = batched.unwrap(wrapped('a'), call())
  await settle()
  sent[0]?.resolve(done(1))
  await opened

  assert.is(events.of('provider_call')[0]?.batch, undefined)
})

test.run()
