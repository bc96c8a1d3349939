import * as assert from 'uvu/assert'
import { ConcurrencyLimit } from '../../../src/base/attempts/concurrency_limit.ts'
import { rejection, suite } from '../../_lib/uvu.ts'

const { signal } = new AbortController()

const test = suite('base/attempts/concurrency_limit', () => {
  const limit = new ConcurrencyLimit(4)
  const started: number[] = []
  const releases: (() => void)[] = []
  /** Starts work that ends when its release is called. */
  const add = (count: number, under = signal) =>
    Array.from({ length: count }, (_, at) =>
      limit.run(() => {
        started.push(at)
        const { promise, resolve } = Promise.withResolvers<void>()
        releases.push(resolve)
        return promise
      }, under),
    )
  const releaseAll = async (work: readonly Promise<void>[]) => {
    const ended = Promise.all(work)
    let done = false
    void ended.then(() => {
      done = true
    })
    while (!done) {
      for (const release of releases.splice(0)) release()
      await tick()
    }
  }
  return { limit, started, add, releaseAll }
})

test('run() lets so many in, and the others in their order', async ({
  started,
  add,
  releaseAll,
}) => {
  const work = add(6)
  await tick()
  const first = [...started]

  await releaseAll(work)

  assert.equal(first, [0, 1, 2, 3])
  assert.equal(started, [0, 1, 2, 3, 4, 5])
})

test('tooMany() halves the limit down to one, wentWell() raises it again', async (context) => {
  const { limit, started, add, releaseAll } = context
  limit.tooMany()
  const half = add(6)
  await tick()
  const afterOne = started.length
  await releaseAll(half)
  for (let times = 0; times < 5; times += 1) limit.tooMany()
  started.length = 0
  const few = add(6)
  await tick()
  const afterMany = started.length
  await releaseAll(few)
  for (let times = 0; times < 20; times += 1) limit.wentWell()
  started.length = 0
  const again = add(6)
  await tick()

  assert.equal([afterOne, afterMany, started.length], [2, 1, 4])
  await releaseAll(again)
})

test('one that gives up while it waits leaves its place to others', async (context) => {
  const { started, add, releaseAll } = context
  const gone = new AbortController()
  const busy = add(4)
  const [waiting] = add(1, gone.signal)
  const reason = new Error('Enough')
  gone.abort(reason)

  const error = await rejection(waiting ?? Promise.resolve())
  const late = add(1)
  await releaseAll([...busy, ...late])

  assert.is(error, reason)
  assert.is(started.length, 5)
})

test('one that gives up as it is let in gives its place to others', async (context) => {
  const { started, add, releaseAll } = context
  const gone = new AbortController()
  gone.abort(new Error('Enough'))
  const errors = await Promise.all(add(4, gone.signal).map(rejection))
  assert.is(errors.filter((error) => error === gone.signal.reason).length, 4)

  const work = add(4)
  await tick()
  assert.is(started.length, 4)
  await releaseAll(work)
})

function tick(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, 0)
  })
}

test.run()
