/** The bench's tables. @module */

import * as assert from 'uvu/assert'
import { suite } from '../_lib/uvu.ts'
import type { Cell, Numbers } from './cells.ts'
import { withPart } from './page.ts'
import { print, type Report } from './report.ts'

const test = suite('bench/report', () => ({}))

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
  toPeer: { ...NUMBERS, p50Ms: 0.55, cpuUs: 0.75 },
}
const REPORT: Report = {
  goals: [
    { what: 'Encrypt: speed', sense: 'at least', limit: 3.5, measured: 3.499, met: false },
    { what: 'Status: requests', sense: 'at most', limit: 0, measured: 0, met: true },
  ],
  cells: [
    CELL,
    { ...CELL, target: 'vault-lean', perSecond: 1280, toRaw: { ...NUMBERS, perSecond: 0.9 } },
    { ...CELL, operation: 'Cold v1', toRaw: { ...NUMBERS, perSecond: 2.25 } },
  ],
  memory: {
    vault: { idleMb: 80.2, loadedMb: 99.6, peakMb: 120 },
    'raw-lean': { idleMb: 1, loadedMb: 1, peakMb: 1 },
  },
  readyMs: { vault: 150.2 },
  generators: { one: 4000, two: 5000, used: 2 },
  statusRequests: { statuses: 5000, requests: 0 },
  hedging: { aloneP99Ms: 4, anyP99Ms: 5, ratio: 1.25 },
  machine: '2 cores of test',
  method: 'one round',
  plan: { rounds: 1, durationMs: 1, warmUpMs: 1, concurrencies: [16], coldItems: 320 },
}

test('print() has goals, numbers, all ratios and memory as Markdown', () => {
  const lines = print(REPORT, true).split('\n')

  assert.ok(lines.includes('| Encrypt: speed | at least 3.50 | 3.50 | not met |'))
  assert.ok(lines.includes('| Status: requests | at most 0 | 0.00 | met |'))
  assert.ok(lines.includes('| Encrypt | 16 | vault | 1.50 | 3.00 | 640 | 210 | 77 | 0.25 |'))
  assert.ok(lines.includes('| Encrypt | 16 | vault | floor | 4.25 | 3.00 | 640.00 | 2.50 |'))
  assert.ok(lines.includes('| Encrypt | 16 | vault | raw | 1.75 | 3.00 | 640.00 |  |'))
  assert.ok(lines.includes('| Encrypt | 16 | vault | peer | 0.55 | 3.00 | 640.00 | 0.75 |'))
  assert.ok(lines.includes('| vault | 80 | 100 | 120 | 150 |'))
  assert.ok(lines.includes('| --- | ---: | ---: | ---: | ---: |'))
})

test('print() has a table for tokens without the default policy, and one for the cold start', () => {
  const text = print(REPORT, true)

  assert.ok(text.includes('\n| Encrypt | vault | 640 | 1280 | 2.00 | 0.90 |\n'))
  assert.ok(text.includes('\n| vault | 0.50 | 2.25 |\n'))
  assert.not.match(text, /-lean/)
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

test('withPart() replaces one part of a page and leaves the others', () => {
  const page = 'a\n<!-- one -->\nold\n<!-- /one -->\nb\n<!-- two -->\n<!-- /two -->\n'

  const changed = withPart(page, 'one', 'new $&')

  assert.is(changed, 'a\n<!-- one -->\n\nnew $&\n\n<!-- /one -->\nb\n<!-- two -->\n<!-- /two -->\n')
  assert.throws(() => withPart(page, 'three', 'new'), /no place for three/)
})

test.run()
