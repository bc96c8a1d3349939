import * as assert from 'uvu/assert'
import { Coalescer } from '../../src/base/coalescer.ts'
import { KmsError } from '../../src/base/errors.ts'
import type { Call, Outcome } from '../../src/base/provider.ts'
import { FakeClock, settle } from '../_lib/fake_clock.ts'
import { rejection, suite } from '../_lib/uvu.ts'

interface Batch {
  readonly items: readonly string[]
  readonly call: Call
  answer(outcomes?: readonly Outcome<string>[]): void
  fail(error: KmsError): void
}

const test = suite('base/coalescer', () => {
  const clock = new FakeClock()
  const batches: Batch[] = []
  const spared = { items: 0 }
  const make = (maxItems: number) =>
    new Coalescer<string, string>({
      clock,
      maxItems,
      nameOf: (item) => item,
      coalesced: () => {
        spared.items += 1
      },
      run: (items, call) =>
        new Promise((resolve, reject) => {
          const echo = () => items.map((item) => ({ ok: true, value: `<${item}>` }) as const)
          const answer = (outcomes: readonly Outcome<string>[] = echo()) => resolve(outcomes)
          batches.push({ items, call, answer, fail: reject })
        }),
    })
  const coalescer = make(4)
  const controller = new AbortController()
  const call = (signal = controller.signal): Call => ({
    signal,
    deadline: clock.monotonic() + 2_500,
  })
  const submit = (item: string, given = call()) => coalescer.submit(item, given)
  return { clock, batches, make, coalescer, controller, call, submit, spared }
})

test('what comes in at once leaves at once, as one batch', async ({ batches, submit }) => {
  const all = ['a', 'b', 'c'].map((item) => submit(item))
  await settle()

  assert.equal(
    batches.map(({ items }) => items),
    [['a', 'b', 'c']],
  )
  batches[0]?.answer()
  assert.equal(await Promise.all(all), ['<a>', '<b>', '<c>'])
})

test('two batches are under way; what comes meanwhile leaves together with the next', async ({
  batches,
  submit,
}) => {
  void submit('a')
  await settle()
  void submit('b')
  await settle()
  void submit('c')
  void submit('d')
  await settle()
  assert.is(batches.length, 2)

  batches[0]?.answer()
  await settle()

  assert.equal(batches[2]?.items, ['c', 'd'])
})

test('no batch is larger than the service takes', async ({ batches, submit }) => {
  for (const item of ['a', 'b', 'c', 'd', 'e', 'f']) void submit(item)
  await settle()

  assert.equal(
    batches.map(({ items }) => items.length),
    [4, 2],
  )
})

test('a batch that hangs ends at the deadline, though nobody gave it up', async ({
  clock,
  batches,
  make,
}) => {
  const coalescer = make(1)
  const call = { signal: new AbortController().signal, deadline: clock.monotonic() + 2_500 }
  const failed = rejection(coalescer.submit('a', call))

  await clock.advance(2_500)

  assert.is(((await failed) as KmsError).code, 'timeout')
  assert.ok(batches[0]?.call.signal.aborted)
})

test('a service without batches gets every item at once', ({ batches, make, call }) => {
  const single = make(1)
  for (const item of ['a', 'b', 'c', 'd', 'e']) void single.submit(item, call())

  assert.is(batches.length, 5)
})

test('equal items under way are one, and each caller gets its result [D9]', async ({
  batches,
  submit,
  spared,
}) => {
  const first = submit('a')
  const second = submit('a')
  await settle()
  const third = submit('a')
  await settle()

  assert.equal(
    batches.map(({ items }) => items),
    [['a']],
  )
  batches[0]?.answer()
  assert.equal(await Promise.all([first, second, third]), ['<a>', '<a>', '<a>'])
  assert.is(spared.items, 2)

  void submit('a')
  await settle()
  assert.is(batches.length, 2)
})

test('an equal item is asked for anew where the batch under way may hang', async ({
  clock,
  batches,
  submit,
}) => {
  void submit('a').catch(() => undefined)
  await settle()
  await clock.advance(300)

  const later = submit('a')
  await settle()

  assert.is(batches.length, 2)
  batches[1]?.answer()
  assert.is(await later, '<a>')
})

test('a bad item fails itself alone', async ({ batches, submit }) => {
  const good = submit('a')
  const bad = rejection(submit('b'))
  await settle()
  const error = new KmsError('Seeded', { code: 'ciphertext_invalid' })
  batches[0]?.answer([
    { ok: true, value: '<a>' },
    { ok: false, error },
  ])

  assert.is(await good, '<a>')
  assert.is(await bad, error)
})

test('a batch that fails fails all of its items, and the next one leaves', async ({
  batches,
  submit,
}) => {
  const error = new KmsError('Seeded', { code: 'unavailable' })
  const failed = [rejection(submit('a')), rejection(submit('b'))]
  await settle()
  batches[0]?.fail(error)

  assert.equal(await Promise.all(failed), [error, error])
  void submit('c')
  await settle()
  assert.equal(batches[1]?.items, ['c'])
})

test('a caller that gives up is answered at once and taken out of a batch that has not left', async ({
  batches,
  submit,
  call,
}) => {
  void submit('a')
  await settle()
  void submit('b')
  await settle()
  const controller = new AbortController()
  const reason = new KmsError('Gone', { code: 'cancelled' })
  const gone = rejection(submit('c', call(controller.signal)))
  void submit('d')
  controller.abort(reason)

  assert.is(await gone, reason)
  batches[0]?.answer()
  await settle()
  assert.equal(batches[2]?.items, ['d'])
})

test('a batch whose callers have all given up is told to stop, and its place is free', async ({
  batches,
  submit,
  call,
  controller,
}) => {
  const reason = new KmsError('Gone', { code: 'cancelled' })
  const gone = [rejection(submit('a')), rejection(submit('b'))]
  await settle()
  const other = new AbortController()
  void submit('a', call(other.signal)).catch(() => undefined)
  controller.abort(reason)
  await Promise.all(gone)
  assert.is(batches[0]?.call.signal.aborted, false)

  other.abort(reason)
  await settle()
  assert.is(batches[0]?.call.signal.aborted, true)

  for (const item of ['c', 'd', 'e', 'f', 'g'])
    void submit(item, call(new AbortController().signal))
  await settle()
  assert.is(batches.length, 3)
})

test('a caller that has given up already asks nothing', async ({ batches, submit, controller }) => {
  const reason = new KmsError('Gone', { code: 'cancelled' })
  controller.abort(reason)

  assert.is(await rejection(submit('a')), reason)
  await settle()
  assert.is(batches.length, 0)
})

test('batches that hang hold up what comes after them only for a moment', async ({
  clock,
  batches,
  submit,
}) => {
  for (const item of ['a', 'b', 'c']) {
    void submit(item)
    await settle()
  }
  assert.is(batches.length, 2)

  await clock.advance(25)

  assert.equal(batches[2]?.items, ['c'])
})

test('however many hang, no more than eight batches are under way', async ({
  clock,
  batches,
  submit,
  call,
}) => {
  for (let at = 0; at < 20; at += 1) {
    void submit(`item ${at}`, { ...call(), deadline: 60_000 })
    await clock.advance(600)
  }

  assert.is(batches.length, 8)
})

test('a batch has the time of the most patient of its callers', async ({
  batches,
  submit,
  call,
}) => {
  void submit('a', { ...call(), deadline: 100 })
  void submit('b', { ...call(), deadline: 900 })
  await settle()

  assert.is(batches[0]?.call.deadline, 900)
})

test.run()
