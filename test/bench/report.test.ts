/** What the bench makes of its samples. @module */

import * as assert from 'uvu/assert'
import { suite } from '../_lib/uvu.ts'
import type { Cell, Numbers } from './measure.ts'
import { print, type Report } from './report.ts'
import { median, quantile } from './statistics.ts'

const test = suite('bench/report', () => ({}))

test('quantile() takes values in any order and lies between neighbours', () => {
  assert.is(quantile([30, 10, 20], 0.5), 20)
  assert.is(quantile([1, 2], 0.25), 1.25)
  assert.is(quantile([7], 0.99), 7)
  assert.is(median([10, 9, 100, 2]), 9.5)
  assert.ok(Number.isNaN(median([])))
})

const NUMBERS: Numbers = { p50Ms: 1.5, p99Ms: 3, perSecond: 640, cpuUs: 210, behindCpuUs: 77 }
const CELL: Cell = {
  ...NUMBERS,
  operation: 'Encrypt',
  concurrency: 16,
  target: 'vault',
  requests: 3200,
  generatorCores: 0.25,
  toFloor: { ...NUMBERS, p50Ms: 4.25, cpuUs: 2.5 },
  toRaw: { ...NUMBERS, p50Ms: 1.75 },
}
const REPORT: Report = {
  cells: [CELL],
  rssMb: { vault: 99.6 },
  readyMs: { vault: 150.2 },
  generators: { one: 4000, two: 5000, used: 2 },
  machine: '2 cores of test',
  method: 'one round',
  plan: { rounds: 1, durationMs: 1, warmUpMs: 1, concurrencies: [16] },
}

test('print() has numbers, both ratios and memory as Markdown', () => {
  const lines = print(REPORT, true).split('\n')

  assert.ok(lines.includes('| Encrypt | 16 | vault | 1.50 | 3.00 | 640 | 210 | 77 | 0.25 |'))
  assert.ok(lines.includes('| Encrypt | 16 | vault | floor | 4.25 | 3.00 | 640.00 | 2.50 |'))
  assert.ok(lines.includes('| Encrypt | 16 | vault | raw | 1.75 | 3.00 | 640.00 |  |'))
  assert.ok(lines.includes('| vault | 100 | 150 |'))
  assert.ok(lines.includes('| --- | ---: | ---: |'))
})

test('print() aligns its columns for a terminal', () => {
  const lines = print(REPORT, false).split('\n')

  assert.ok(
    lines.includes(
      'operation  at once  target  p50 ms  p99 ms  requests/s  CPU µs  behind µs  generator cores',
    ),
  )
  assert.ok(
    lines.includes(
      'Encrypt         16  vault     1.50    3.00         640     210         77             0.25',
    ),
  )
})

test.run()
