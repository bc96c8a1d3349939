import * as assert from 'uvu/assert'
import type { Clock } from '../../src/base/clock.ts'
import { systemClock } from '../../src/base/clock.ts'
import { Turns } from '../../src/grpc/turns.ts'
import { suite } from '../_lib/uvu.ts'

const PER_TURN = 64
const test = suite('grpc/turns', () => {
  const later: (() => void)[] = []
  const clock: Clock = { ...systemClock, soon: (run) => later.push(run) }
  return {
    turns: new Turns<string>(clock),
    nextTurn: () => later.shift()?.(),
    waits: () => later.length,
  }
})

test('what nobody waits before is run at once', ({ turns }) => {
  const done: number[] = []

  for (let at = 0; at < PER_TURN; at += 1) turns.take('one', () => done.push(at))

  assert.is(done.length, PER_TURN)
})

test('a client with much to do has one piece done for each of another’s', ({ turns, nextTurn }) => {
  const done: string[] = []
  for (let at = 0; at < 1_000; at += 1) turns.take('greedy', () => done.push('greedy'))
  for (let at = 0; at < 10; at += 1) turns.take('modest', () => done.push('modest'))
  assert.is(done.length, PER_TURN)

  nextTurn()

  assert.is(done.length, 2 * PER_TURN)
  assert.is(done.slice(PER_TURN, PER_TURN + 20).filter((who) => who === 'modest').length, 10)
})

test('all is done in the end, and then no turn is waited for', ({ turns, nextTurn, waits }) => {
  let done = 0
  for (let at = 0; at < 1_000; at += 1) {
    turns.take(`client-${at % 7}`, () => {
      done += 1
    })
  }

  while (waits() > 0) nextTurn()

  assert.is(done, 1_000)
})

test.run()
