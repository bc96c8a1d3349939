/** Spans wait in bounded numbers for a collector that takes, refuses, hangs or takes some. @module */

import * as assert from 'uvu/assert'
import { KmsError } from '../../../src/base/errors.ts'
import type { Call } from '../../../src/base/provider.ts'
import { SpanQueue } from '../../../src/observe/traces/queue.ts'
import { RecordedEvents } from '../../_lib/events.ts'
import { FakeClock, settle } from '../../_lib/fake_clock.ts'
import { type SpanOutcome, spansCounted } from '../../_lib/observe/span_counts.ts'
import { suite } from '../../_lib/uvu.ts'

const INTERVAL_MS = 5_000

interface Sent {
  readonly spans: readonly string[]
  readonly call: Call
  readonly answer: PromiseWithResolvers<number>
}

const test = suite('observe/traces/queue', () => {
  const clock = new FakeClock({ quick: true })
  const events = new RecordedEvents()
  const sent: Sent[] = []
  const queue = new SpanQueue({
    clock,
    events,
    send(spans, call) {
      const answer = Promise.withResolvers<number>()
      sent.push({ spans, call, answer })
      return answer.promise
    },
  })
  const count = (outcome: SpanOutcome) => spansCounted(events, outcome)
  return {
    clock,
    events,
    sent,
    queue,
    add(many: number, from = 0) {
      for (let number = from; number < from + many; number += 1) queue.add(String(number))
    },
    counts: () => [count('sent'), count('dropped')],
    /** Answers the newest request, and lets what follows happen. */
    async answered(rejected = 0) {
      sent.at(-1)?.answer.resolve(rejected)
      await settle()
    },
    async failed(error: unknown = new KmsError('Away', { code: 'unavailable' })) {
      sent.at(-1)?.answer.reject(error)
      await settle()
    },
  }
})

test('both series of the metric begin at once', ({ events }) => {
  assert.equal(
    events.of('trace_spans').map(({ outcome, spans }) => [outcome, spans]),
    [
      ['sent', 0],
      ['dropped', 0],
    ],
  )
})

test('few spans leave together after a while, and nothing is asked where there are none', async ({
  clock,
  sent,
  add,
  counts,
  answered,
}) => {
  await clock.advance(10 * INTERVAL_MS)
  assert.is(sent.length, 0)
  add(3)
  await clock.advance(INTERVAL_MS - 1)
  assert.is(sent.length, 0)
  await clock.advance(1)
  assert.equal(
    sent.map(({ spans }) => spans),
    [['0', '1', '2']],
  )

  await answered()
  assert.equal(counts(), [3, 0])
  await clock.advance(10 * INTERVAL_MS)
  assert.is(sent.length, 1)
})

test('512 leave at once, one request at a time, and what is left goes with the next', async ({
  clock,
  sent,
  add,
  counts,
  answered,
}) => {
  add(600)
  await settle()
  await clock.advance(2 * INTERVAL_MS)
  assert.equal(
    sent.map(({ spans }) => [spans[0], spans.length]),
    [['0', 512]],
  )
  await answered()
  assert.is(sent.length, 1)
  await clock.advance(INTERVAL_MS)
  assert.equal([sent[1]?.spans[0], sent[1]?.spans.length], ['512', 88])
  await answered()
  assert.equal(counts(), [600, 0])
})

test('beside a collector that hangs 2,048 wait, and the others are dropped and counted', async ({
  clock,
  sent,
  queue,
  add,
  counts,
}) => {
  add(10_000)
  await clock.advance(60_000)

  assert.is(sent.length, 1)
  assert.equal(counts(), [0, 10_000 - 2_048])
  const closing = queue.close()
  await clock.advance(1_000)
  await closing
  assert.equal(counts(), [0, 10_000])
})

test('a failure drops what was sent and tells once; after a minute of success it tells that', async ({
  clock,
  events,
  sent,
  add,
  counts,
  answered,
  failed,
}) => {
  for (let times = 0; times < 3; times += 1) {
    add(2)
    await clock.advance(INTERVAL_MS)
    await failed()
  }
  assert.equal(counts(), [0, 6])
  assert.equal(events.notices(), ['traces_failed'])
  const [told] = events.noticesOf('traces_failed')
  assert.is(told?.level, 'warn')
  assert.is(told?.message, 'The collector does not take spans, which are dropped: Away')

  add(1)
  await clock.advance(INTERVAL_MS)
  await answered()
  assert.equal(counts(), [1, 6])
  assert.is(events.notices().length, 1)
  await clock.advance(60_000)
  add(1)
  await clock.advance(INTERVAL_MS)
  await answered()
  assert.equal(events.notices(), ['traces_failed', 'traces_sent'])
  assert.is(events.noticesOf('traces_sent')[0]?.level, 'info')
  assert.is(sent.length, 5)
})

test('a collector that fails every other time is told of once', async ({
  clock,
  events,
  add,
  answered,
  failed,
}) => {
  for (let times = 0; times < 50; times += 1) {
    add(1)
    await clock.advance(INTERVAL_MS)
    await (times % 2 === 0 ? failed() : answered())
  }

  assert.equal(events.notices(), ['traces_failed'])
})

for (const [rejected, counted] of [
  [2, [3, 2]],
  [5, [0, 5]],
  [1e15, [0, 5]],
  [-3, [5, 0]],
] as const) {
  test(`of 5 spans ${rejected} rejected ones count as ${counted}`, async ({
    clock,
    events,
    add,
    counts,
    answered,
  }) => {
    add(5)
    await clock.advance(INTERVAL_MS)
    await answered(rejected)

    assert.equal(counts(), counted)
    assert.equal(events.notices(), counted[1] > 0 ? ['traces_failed'] : [])
  })
}

test('a fault of the program itself is told without its text', async ({
  clock,
  events,
  add,
  failed,
}) => {
  add(1)
  await clock.advance(INTERVAL_MS)
  await failed(new Error('PLANTED'))

  assert.is(
    events.noticesOf('traces_failed')[0]?.message,
    'The collector does not take spans, which are dropped: Internal error',
  )
})

test('close() sends what waits, in requests of 512', async ({ sent, queue, add, counts }) => {
  add(511)
  const closing = queue.close()
  await settle()
  assert.is(sent[0]?.spans.length, 511)
  sent[0]?.answer.resolve(0)
  await closing

  assert.equal(counts(), [511, 0])
  add(1)
  assert.equal(counts(), [511, 1], 'what comes later is dropped')
})

test('close() waits for what is under way, and sends it no second time', async ({
  sent,
  queue,
  add,
  counts,
  answered,
}) => {
  add(520)
  await settle()
  const closing = queue.close()
  await answered()
  await settle()
  await answered()
  await closing

  assert.equal(
    sent.map(({ spans }) => spans.length),
    [512, 8],
  )
  assert.equal(counts(), [520, 0])
})

test('close() gives up what hangs after half a second, sends it again, and takes one second at most', async ({
  clock,
  events,
  sent,
  queue,
  add,
  counts,
}) => {
  add(512)
  await settle()
  let closed = false
  const closing = queue.close().then(() => {
    closed = true
  })
  await clock.advance(499)
  assert.is(sent[0]?.call.signal.aborted, false)
  await clock.advance(1)
  assert.is(sent[0]?.call.signal.aborted, true)
  assert.equal(sent[1]?.spans, sent[0]?.spans)
  await clock.advance(499)
  assert.is(closed, false)
  await clock.advance(1)
  await closing

  assert.is(sent[1]?.call.signal.aborted, true)
  assert.equal(counts(), [0, 512])
  assert.equal(events.notices(), [])
})

test('close() at a collector that refuses tries once and is through', async ({
  sent,
  queue,
  add,
  counts,
  failed,
}) => {
  add(511)
  const closing = queue.close()
  await settle()
  await failed()
  await closing

  assert.is(sent.length, 1)
  assert.equal(counts(), [0, 511])
})

test('close() without spans asks nobody and waits for nothing', async ({ sent, queue }) => {
  await queue.close()

  assert.is(sent.length, 0)
})

test.run()
