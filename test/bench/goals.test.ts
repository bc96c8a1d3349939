/** Which goals a run meets. @module */

import * as assert from 'uvu/assert'
import { suite } from '../_lib/uvu.ts'
import { type Cell, cellOf, nameOf, type Sample, type Step } from './cells.ts'
import { type Goal, goalsOf } from './goals.ts'
import type { Measured } from './measure.ts'
import type { TargetName } from './targets.ts'

const test = suite('bench/goals', () => ({}))

const GENERATORS = { one: 1, two: 1, used: 1 }

function sample(perSecond: number, p50Ms: number, p99Ms: number): Sample {
  return { perSecond, p50Ms, p99Ms, cpuUs: 1, behindCpuUs: 1, requests: 1, generatorCores: 1 }
}

function cellsOf(step: Step, rounds: Readonly<Partial<Record<TargetName, Sample[]>>>): Cell[] {
  const entries = Object.entries(rounds) as [TargetName, Sample[]][]
  const samples = new Map(entries.map(([target, all]) => [nameOf(step, target), all]))
  return entries.map(([target]) => cellOf(samples, step, target))
}

function goal(goals: readonly Goal[], part: string): Goal | undefined {
  return goals.find(({ what }) => what.includes(part))
}

const ENCRYPT = { operation: 'Encrypt', concurrency: 64 } as const
const MEASURED: Measured = {
  cells: [
    ...cellsOf(ENCRYPT, {
      floor: [sample(1000, 1, 3), sample(2000, 1, 3)],
      raw: [sample(100, 10, 30), sample(200, 10, 30)],
      vault: [sample(400, 3, 9), sample(600, 3, 12)],
    }),
    ...cellsOf(
      { operation: 'Decrypt', concurrency: 1 },
      {
        floor: [sample(1, 0.2, 1)],
        raw: [sample(1, 0.5, 1)],
        vault: [sample(1, 0.6, 1)],
        peer: [sample(1, 0.5, 1)],
      },
    ),
    ...cellsOf(
      { operation: 'Status', concurrency: 16 },
      {
        floor: [sample(1, 1, 1)],
        vault: [sample(1, 1.4, 1)],
      },
    ),
  ],
  memory: {
    floor: { idleMb: 70, loadedMb: 100, peakMb: 100 },
    vault: { idleMb: 84, loadedMb: 150, peakMb: 160 },
  },
  generators: GENERATORS,
}

test('goalsOf() holds the medians of the ratios of each round against the goals', () => {
  const goals = goalsOf(MEASURED, 0, 1.2)

  assert.equal(goal(goals, 'Encrypt, 64 at once: requests/s to raw'), {
    what: 'Encrypt, 64 at once: requests/s to raw',
    sense: 'at least',
    limit: 3.5,
    measured: 3.5,
    met: true,
  })
  assert.is(goal(goals, 'Encrypt, 64 at once: requests/s to floor')?.met, false)
  assert.is(goal(goals, 'Encrypt, 64 at once: p99')?.measured, 0.35)
  assert.is(goal(goals, 'Encrypt, 64 at once: p99')?.met, false)
})

test('goalsOf() bounds the latency of one caller by raw and one and a half floors', () => {
  const { measured, met } = goal(goalsOf(MEASURED, 0, 1.2), 'Decrypt, 1 at once: p50 to raw') ?? {}

  assert.is(measured?.toFixed(3), '0.750')
  assert.is(met, true)
})

test('goalsOf() holds one caller against another plugin where one was measured', () => {
  const goals = goalsOf(MEASURED, 0, 1.2)

  assert.is(goal(goals, 'Decrypt, 1 at once: p50 to peer')?.measured, 1.2)
  assert.is(goal(goals, 'Decrypt, 1 at once: p50 to peer')?.met, false)
  assert.is(goal(goals, 'Encrypt, 1 at once: p50 to peer'), undefined)
})

test('goalsOf() bounds the processor time of a request, alone and under load', () => {
  const goals = goalsOf(MEASURED, 0, 1.2)

  assert.is(goal(goals, 'Decrypt, 1 at once: CPU')?.met, true)
  assert.is(goal(goals, 'Encrypt, 64 at once: CPU')?.limit, 60)
  assert.is(goal(goals, 'Decrypt, 64 at once: CPU')?.met, false, 'not measured')
})

test('goalsOf() looks at Status, at memory, and at what Status costs Vault', () => {
  const goals = goalsOf(MEASURED, 2, 1.6)

  assert.is(goal(goals, 'Status, 16 at once')?.met, false)
  assert.is(goal(goals, 'RSS idle')?.met, true)
  assert.is(goal(goals, 'RSS loaded')?.met, false)
  assert.is(goal(goals, 'requests to Vault')?.met, false)
})

test('goalsOf() bounds what a slow provider costs under any', () => {
  assert.is(goal(goalsOf(MEASURED, 0, 1.5), '20 times slower')?.met, true)
  assert.is(goal(goalsOf(MEASURED, 0, 1.6), '20 times slower')?.met, false)
})

test('goalsOf() does not call met what was not measured', () => {
  assert.is(goal(goalsOf(MEASURED, 0, 1.2), 'Cold v1')?.met, false)
  assert.is(goal(goalsOf(MEASURED, 0, 1.2), 'Repeat')?.met, false)
})

test.run()
