/** The bench's results as tables, for a terminal and for docs/performance.md. @module */

import { arch, cpus } from 'node:os'
import process from 'node:process'
import type { Cell, Measured, Numbers, Plan } from './measure.ts'
import type { Target } from './targets.ts'

export interface Report extends Measured {
  readonly machine: string
  readonly method: string
  readonly plan: Plan
  readonly readyMs: Readonly<Record<string, number>>
}

type Row = readonly string[]

export function createReport(measured: Measured, plan: Plan, targets: readonly Target[]): Report {
  const cores = cpus()
  const model = cores[0]?.model.trim() ?? arch()
  const readyMs = targets.flatMap(({ name, readyMs: ms }) =>
    ms === undefined ? [] : [[name, ms] as const],
  )
  const { rounds, durationMs } = plan
  return {
    ...measured,
    machine: `${cores.length} cores of ${model}, Linux ${arch()}, Node ${process.versions.node}`,
    method: `${rounds} interleaved rounds of ${durationMs} ms a cell, medians over the rounds`,
    plan,
    readyMs: Object.fromEntries(readyMs),
  }
}

/** Notes and tables; `markdown` or for a terminal. */
export function print(report: Report, markdown: boolean): string {
  const table = markdown ? markdownTable : plainTable
  return [
    notes(report),
    table([NUMBERS_HEAD, ...report.cells.map(numbersRow)]),
    'As ratios (1 is as much; of requests a second, more is better):',
    table([RATIOS_HEAD, ...report.cells.flatMap(ratioRows)]),
    'Resident memory after the load, and time from start to the first good Status:',
    table([MEMORY_HEAD, ...memoryRows(report)]),
  ].join('\n\n')
}

function notes({ machine, method, generators, cells }: Report): string {
  const { one, two, used } = generators
  const requests = cells.reduce((sum, cell) => sum + cell.requests, 0)
  return [
    `${machine}. ${method}; ${requests} requests, none of which failed.`,
    `Load generators: ${used}. One brings the empty service to ${whole(one)} Status calls a second, two to ${whole(two)}.`,
    'Server, key service and generators share the cores. CPU is of the server alone; "behind" is of OpenBao behind it.',
  ].join('\n')
}

const NUMBERS_HEAD: Row = [
  'operation',
  'at once',
  'target',
  'p50 ms',
  'p99 ms',
  'requests/s',
  'CPU µs',
  'behind µs',
  'generator cores',
]

function numbersRow(cell: Cell): Row {
  return [
    cell.operation,
    String(cell.concurrency),
    cell.target,
    cell.p50Ms.toFixed(2),
    cell.p99Ms.toFixed(2),
    whole(cell.perSecond),
    whole(cell.cpuUs),
    cell.behindCpuUs === 0 ? '' : whole(cell.behindCpuUs),
    cell.generatorCores.toFixed(2),
  ]
}

const RATIOS_HEAD: Row = ['operation', 'at once', 'target', 'to', 'p50', 'p99', 'requests/s', 'CPU']

function ratioRows(cell: Cell): Row[] {
  const row = (to: string, numbers: Numbers): Row => [
    cell.operation,
    String(cell.concurrency),
    cell.target,
    to,
    ratio(numbers.p50Ms),
    ratio(numbers.p99Ms),
    ratio(numbers.perSecond),
    // The plugin's share against the key service's own says nothing.
    to === 'raw' ? '' : ratio(numbers.cpuUs),
  ]
  return [
    ...(cell.toFloor === undefined ? [] : [row('floor', cell.toFloor)]),
    ...(cell.toRaw === undefined ? [] : [row('raw', cell.toRaw)]),
  ]
}

const MEMORY_HEAD: Row = ['target', 'RSS MB', 'ready ms']

function memoryRows({ rssMb, readyMs }: Report): Row[] {
  return Object.entries(rssMb).map(([name, mb]) => {
    const ms = readyMs[name]
    return [name, mb.toFixed(0), ms === undefined ? '' : ms.toFixed(0)]
  })
}

function whole(value: number): string {
  return value.toFixed(0)
}

function ratio(value: number): string {
  return Number.isFinite(value) ? value.toFixed(2) : ''
}

function plainTable(rows: readonly Row[]): string {
  const widths = widthsOf(rows)
  return rows
    .map((row) =>
      row
        .map((text, at) => pad(text, at, widths))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function markdownTable(rows: readonly Row[]): string {
  const line = (row: Row) => `| ${row.join(' | ')} |`
  const [head = [], ...body] = rows
  const rule = head.map((_, at) => (isText(at, rows) ? '---' : '---:'))
  return [head, rule, ...body].map(line).join('\n')
}

function widthsOf(rows: readonly Row[]): number[] {
  return (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)))
}

/** Words stand left, numbers right. */
function pad(text: string, at: number, widths: readonly number[]): string {
  const width = widths[at] ?? 0
  return /^[a-zA-Z]/.test(text) ? text.padEnd(width) : text.padStart(width)
}

function isText(at: number, rows: readonly Row[]): boolean {
  return rows.slice(1).every((row) => !/\d/.test(row[at] ?? ''))
}
