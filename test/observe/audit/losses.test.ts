/** Disks and readers that are full, slow or gone, and keys that do not sign. @module */

import * as assert from 'uvu/assert'
import { systemClock } from '../../../src/base/clock.ts'
import { KmsError } from '../../../src/base/errors.ts'
import {
  HASTY_CLOCK,
  linesOf,
  MemoryTarget,
  RETRYING_CLOCK,
  requestOf,
  StreamHere,
  sha256,
} from '../../_lib/observe/audit_scene.ts'
import { suite } from '../../_lib/uvu.ts'
import { until } from '../../_lib/wait.ts'

const test = suite('observe/audit/losses', () => ({}))

function isChain(text: string): boolean {
  const lines = text.trimEnd().split('\n')
  return lines.every((line, at) => {
    const { seq, prev } = JSON.parse(line)
    return seq === at + 1 && prev === (at === 0 ? null : sha256(lines[at - 1] ?? ''))
  })
}

function gated() {
  const target = new MemoryTarget()
  const { promise, resolve } = Promise.withResolvers<void>()
  target.before = async (bytes) => {
    await promise
    return bytes.length
  }
  return { target, release: resolve }
}

test('what waits is bounded; what is lost is counted, and told by the next record', async () => {
  const { target, release } = gated()
  const here = new StreamHere('', { target })
  for (let at = 0; here.count('lost') < 100; at += 1) here.stream.emit(requestOf(`u-${at}`))
  const kept = 4_194_304 / 400
  assert.equal(here.events.notices(), ['audit_lost'])

  release()
  await until('it is written', () => here.events.notices().includes('audit_resumed'))
  await until('all is', () => linesOf(target.text).length > kept / 2 && target.text.endsWith('\n'))
  here.stream.emit(requestOf('next'))
  await here.stream.close()

  const lines = linesOf(target.text)
  const told = lines.filter(({ lost }) => lost !== undefined)
  assert.equal(
    told.map(({ uid, lost }) => ({ uid, lost })),
    [{ uid: 'next', lost: 100 }],
  )
  assert.equal(here.events.noticesOf('audit_resumed')[0]?.fields, { lost: 100 })
  assert.is(here.count('written'), lines.filter(({ event }) => event === 'request').length)
  assert.ok(isChain(target.text))
})

test('records that are lost at the end are told by the head', async () => {
  const { target, release } = gated()
  const here = new StreamHere('', { target })
  while (here.count('lost') < 3) here.stream.emit(requestOf('u'))

  const closed = here.stream.close()
  release()
  await closed

  const head = linesOf(target.text).at(-1)
  assert.equal([head?.['event'], head?.['lost']], ['head', 3])
})

test('a disk that is full in the middle of a line gets the rest of it once there is room', async () => {
  const target = new MemoryTarget()
  let room = 500
  target.before = (bytes) => {
    if (room === 0) throw Object.assign(new Error('full'), { code: 'ENOSPC' })
    const taken = Math.min(room, bytes.length)
    room -= taken
    return Promise.resolve(taken)
  }
  const here = new StreamHere('', { target, clock: RETRYING_CLOCK })
  for (const uid of ['a', 'b', 'c']) here.stream.emit(requestOf(uid))
  await until('it is said', () => here.events.notices().includes('audit_failed'))
  assert.not.ok(target.text.endsWith('\n'))
  assert.match(here.events.noticesOf('audit_failed')[0]?.message ?? '', 'no space left')

  room = 1e9
  await here.write(['d'])
  await until('all are', () => here.count('written') === 4)
  await here.stream.close()

  assert.is(target.begun, 1)
  assert.ok(isChain(target.text))
  const uids = linesOf(target.text).flatMap(({ uid }) => uid ?? [])
  assert.equal(uids, ['a', 'b', 'c', 'd'])
  assert.equal(here.events.notices(), ['audit_failed', 'audit_resumed'])
})

test('a disk that fails otherwise is left, and a new part has every record whose line was not whole', async () => {
  const target = new MemoryTarget()
  target.isFull = false
  let writes = 0
  target.before = (bytes) => {
    writes += 1
    // The begin is the first write.
    if (writes === 3) throw Object.assign(new Error('gone'), { code: 'EIO' })
    return Promise.resolve(writes === 2 ? bytes.indexOf(0x0a) + 40 : bytes.length)
  }
  const here = new StreamHere('', { target, clock: RETRYING_CLOCK })
  for (const uid of ['a', 'b', 'c']) here.stream.emit(requestOf(uid))
  await until('all are written', () => here.count('written') === 3)
  await here.stream.close()

  const [before = '', after = ''] = target.text.split(/(?={"seq":3,"time":"[^"]*","event":"begin")/)
  assert.is(target.begun, 2)
  assert.equal(
    linesOf(`${before}\n`.replace(/[^\n]+\n$/, '')).flatMap(({ uid }) => uid ?? []),
    ['a'],
  )
  const [begin, ...rest] = linesOf(after)
  assert.equal([begin?.['after'], begin?.['prev']], ['failed', sha256(before.split('\n')[1] ?? '')])
  assert.equal(
    rest.flatMap(({ uid }) => uid ?? []),
    ['b', 'c'],
  )
})

test('close() takes a second at most, says what is lost, and a file system that hangs is known', async () => {
  const { target } = gated()
  const here = new StreamHere('', { target, clock: HASTY_CLOCK })
  here.stream.emit(requestOf('u'))
  await until('it is told', () => here.events.notices().includes('audit_failed'))
  assert.match(here.events.noticesOf('audit_failed')[0]?.message ?? '', 'no answer from it')

  await here.stream.close()

  assert.ok(here.stream.stuck)
  assert.is(here.count('lost'), 1)
  here.stream.emit(requestOf('late'))
  assert.is(here.count('lost'), 1)
})

for (const { what, signer, unsigned } of [
  { what: 'hangs', signer: () => new Promise<never>(() => undefined), unsigned: 'timeout' },
  {
    what: 'refuses',
    signer: () => Promise.reject(new KmsError('PCR 7 has another value', { code: 'denied' })),
    unsigned: 'denied',
  },
]) {
  test(`a key that ${what} holds up neither rotation nor end, and the head says why it is not signed`, async () => {
    const target = new MemoryTarget()
    const here = new StreamHere('', { target, clock: HASTY_CLOCK, signer, maxBytes: 500 })
    for (const uid of ['a', 'b', 'c']) await here.write([uid])
    await here.stream.close()

    const heads = linesOf(target.text).filter(({ event }) => event === 'head')
    assert.ok(heads.length >= 2)
    assert.ok(heads.every((head) => head['unsigned'] === unsigned))
    assert.ok(heads.every((head) => !('signature' in head)))
    assert.ok(isChain(target.text))
    assert.ok(here.events.notices().includes('audit_unsigned'))
  })
}

test('a key that is slow is not waited for where records would be lost', async () => {
  const target = new MemoryTarget()
  const asked = Promise.withResolvers<AbortSignal>()
  const signer = (signal: AbortSignal) => {
    asked.resolve(signal)
    return new Promise<never>(() => undefined)
  }
  // No time limit comes.
  const clock = {
    ...systemClock,
    after: (ms: number, run: () => void) =>
      ms < 1_000 ? systemClock.after(ms, run) : () => undefined,
  }
  const here = new StreamHere('', { target, signer, maxBytes: 300, clock })
  await here.write(['a'])
  here.stream.emit(requestOf('b'))
  const signal = await asked.promise

  for (let at = 0; !signal.aborted; at += 1) here.stream.emit(requestOf(`u-${at}`))

  assert.is(here.count('lost'), 0)
  await until('it goes on', () =>
    linesOf(target.text.replace(/[^\n]*$/, '')).some(({ event }) => event === 'head'),
  )
})

test.run()
