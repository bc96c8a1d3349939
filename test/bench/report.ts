/** The bench's results as tables, for a terminal and for docs/performance.md. @module */

import { arch, cpus } from 'node:os'
import process from 'node:process'
import type { Cell, Numbers } from './cells.ts'
import { type Goal, goalsOf } from './goals.ts'
import type { Hedging } from './hedging.ts'
import type { Measured, Plan } from './measure.ts'
import type { StatusRequests } from './status_requests.ts'
import { type Row, ratio, table, whole } from './tables.ts'
import { LEAN_TARGETS, type Target, type TargetName } from './targets.ts'

export interface Report extends Measured {
  readonly goals: readonly Goal[]
  readonly statusRequests: StatusRequests
  readonly hedging: Hedging
  readonly machine: string
  readonly method: string
  readonly plan: Plan
  readonly readyMs: Readonly<Partial<Record<TargetName, number>>>
}

/** What it was measured on. */
export function machine(): string {
  const cores = cpus()
  const model = cores[0]?.model.trim() ?? arch()
  return `${cores.length} cores of ${model}, Linux ${arch()}, Node ${process.versions.node}`
}

export function createReport(
  measured: Measured,
  {
    statusRequests,
    hedging,
    plan,
    targets,
  }: {
    readonly statusRequests: StatusRequests
    readonly hedging: Hedging
    readonly plan: Plan
    readonly targets: readonly Target[]
  },
): Report {
  const { rounds, durationMs } = plan
  return {
    goals: goalsOf(measured, statusRequests.requests, hedging.ratio),
    ...measured,
    statusRequests,
    hedging,
    machine: machine(),
    method: `${rounds} interleaved rounds of ${durationMs} ms a cell, medians over the rounds`,
    plan,
    readyMs: Object.fromEntries(targets.map(({ name, readyMs }) => [name, readyMs])),
  }
}

/** Notes and tables; `markdown` or for a terminal. */
export function print(report: Report, markdown: boolean): string {
  const { goals, cells, plan } = report
  const shown = cells.filter(({ target }) => !LEAN_TARGETS.has(target))
  const section = (title: string, rows: readonly Row[]) => [title, table(rows, markdown)]
  return [
    notes(report),
    ...section('What was asked, and what was measured:', [GOALS_HEAD, ...goals.map(goalRow)]),
    ...section('Numbers:', [NUMBERS_HEAD, ...shown.map(numbersRow)]),
    ...section('As ratios (1 is as much; of requests a second, more is better):', [
      RATIOS_HEAD,
      ...shown.flatMap(ratioRows),
    ]),
    ...section(`Each of ${plan.coldItems} v1beta1 ciphertexts decrypted once:`, [
      COLD_HEAD,
      ...cells.filter(({ operation }) => operation === 'Cold v1').map((one) => coldRow(one, plan)),
    ]),
    ...section("With tokens that have Vault's `default` policy, and with tokens without it:", [
      LEAN_HEAD,
      ...leanRows(cells),
    ]),
    ...section('Resident memory, and time from start to the first good Status:', [
      MEMORY_HEAD,
      ...memoryRows(report),
    ]),
  ].join('\n\n')
}

function notes({
  machine: where,
  method,
  generators,
  cells,
  statusRequests,
  hedging,
}: Report): string {
  const { one, two, used } = generators
  const requests = cells.reduce((sum, cell) => sum + cell.requests, 0)
  const { statuses, requests: caused } = statusRequests
  return [
    `${where}. ${method}; ${requests} requests, none of which failed.`,
    `Load generators: ${used}. One brings the empty service to ${whole(one)} Status calls a second, two to ${whole(two)}.`,
    'Server, key service and generators share the cores. CPU is of the server alone; "behind" is of OpenBao behind it.',
    `Decrypt under any with one of two providers 20 times slower: p99 ${hedging.anyP99Ms.toFixed(2)} ms, beside ${hedging.aloneP99Ms.toFixed(2)} ms of the fast one alone.`,
    `${statuses} Status calls caused ${caused} requests to OpenBao.`,
  ].join('\n')
}

const GOALS_HEAD: Row = ['what', 'asked', 'measured', '']

function goalRow({ what, sense, limit, measured, met }: Goal): Row {
  const text = (value: number) => (Number.isInteger(limit) ? String(limit) : value.toFixed(2))
  return [what, `${sense} ${text(limit)}`, ratio(measured), met ? 'met' : 'not met']
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
    ...(cell.toPeer === undefined ? [] : [row('peer', cell.toPeer)]),
  ]
}

const COLD_HEAD: Row = ['target', 'seconds', 'times as fast as raw']

function coldRow({ target, perSecond, toRaw }: Cell, { coldItems }: Plan): Row {
  return [target, ratio(coldItems / perSecond), ratio(toRaw?.perSecond ?? Number.NaN)]
}

const LEAN_HEAD: Row = ['operation', 'target', 'requests/s with', 'without', 'times', 'times raw']

function leanRows(cells: readonly Cell[]): Row[] {
  return cells.flatMap((lean) => {
    if (!LEAN_TARGETS.has(lean.target)) return []
    const target = lean.target === 'raw-lean' ? 'raw' : 'vault'
    const usual = cells.find(
      (cell) =>
        cell.target === target &&
        cell.operation === lean.operation &&
        cell.concurrency === lean.concurrency,
    )
    const before = usual?.perSecond ?? Number.NaN
    return [
      [
        lean.operation,
        target,
        whole(before),
        whole(lean.perSecond),
        ratio(lean.perSecond / before),
        target === 'raw' ? '' : ratio(lean.toRaw?.perSecond ?? Number.NaN),
      ],
    ]
  })
}

const MEMORY_HEAD: Row = ['target', 'idle MB', 'loaded MB', 'peak MB', 'ready ms']

function memoryRows({ memory, readyMs }: Report): Row[] {
  return Object.entries(memory).flatMap(([name, { idleMb, loadedMb, peakMb }]) => {
    // Their key service is the same process.
    if (name === 'raw-lean') return []
    const ms = readyMs[name as TargetName] ?? Number.NaN
    return [[name, whole(idleMb), whole(loadedMb), whole(peakMb), whole(ms)]]
  })
}
