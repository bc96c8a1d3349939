/** `trousseau bench` measures how fast any plugin is, under the load of an API server. @module */

import { fitted } from '../../console/fitted.ts'
import type { Io } from '../../console/io.ts'
import { EXIT, json, paint } from '../../console/output.ts'
import { counted } from '../../console/progress.ts'
import { connectKms, type KmsClient } from '../../grpc/client.ts'
import { reach } from '../../grpc/reach.ts'
import { type Api, type Phase, phasesOf } from './phases.ts'
import { quantile } from './quantile.ts'
import { runLoad, type Tally } from './run_load.ts'

export interface BenchOptions {
  readonly socket: string
  /** Milliseconds of each phase. */
  readonly duration: number
  readonly concurrency: number
  /** Calls a second. */
  readonly rate?: number
  readonly api: Api
  readonly json: boolean
}

interface Result {
  readonly phase: string
  readonly callers: number
  /** Answered well. */
  readonly succeeded: number
  readonly failed: number
  readonly perSecond: number
  /** Undefined where no call succeeded. */
  readonly latencyMs: Latencies | undefined
  readonly errors: Readonly<Record<string, number>>
}

interface Latencies {
  readonly p50: number
  readonly p95: number
  readonly p99: number
  readonly max: number
}

/** kube-apiserver's own time limit, where its configuration does not say otherwise. */
const TIMEOUT_MS = 3_000
const MAX_CALLS = 50_000
const WARM_UP_CALLS = 10
/** The price of the large clouds for ten thousand operations with a software key. */
const CLOUD_USD = 0.03
const CLOUD_CALLS = 10_000

/** @throws KmsError when the plugin cannot be reached */
export async function bench(options: BenchOptions, io: Io): Promise<number> {
  await reach(options.socket, TIMEOUT_MS)
  const client = connectKms(options.socket, { timeoutMs: TIMEOUT_MS })
  try {
    return await measure(client, options, io)
  } finally {
    client.close()
  }
}

async function measure(client: KmsClient, options: BenchOptions, io: Io): Promise<number> {
  const phases = phasesOf(client, options.api)
  io.err(fitted(notice(phases, options), io, MOST_COLUMNS))
  await warmUp(phases, io.stop)
  const { head, rowOf } = formOf(options, io)
  io.out(head)
  const results: Result[] = []
  for (const phase of phases) {
    if (io.stop.aborted) break
    const result = await resultOf(phase, options, io.stop)
    results.push(result)
    io.out(rowOf(phase, result, io))
  }
  const interrupted = io.stop.aborted
  const { socket, api, duration: durationMs, concurrency, rate } = options
  if (options.json) {
    io.out(json({ socket, api, durationMs, concurrency, rate, interrupted, phases: results }))
  } else io.out(fitted(summary(results, interrupted), io))
  if (interrupted) return EXIT.interrupted
  return results.every(wentWell) ? EXIT.ok : EXIT.unhealthy
}

/** Connects before anything is measured. */
async function warmUp([first]: readonly Phase[], stop: AbortSignal): Promise<void> {
  const pace = { callers: 1, durationMs: TIMEOUT_MS, maxCalls: WARM_UP_CALLS, stop }
  if (first !== undefined) await runLoad(pace, first.next)
}

async function resultOf(phase: Phase, options: BenchOptions, stop: AbortSignal): Promise<Result> {
  const callers = phase.alone ? 1 : Math.max(1, Math.floor(options.concurrency / phase.together))
  const tally = await runLoad(
    {
      callers,
      perSecond: options.rate,
      durationMs: options.duration,
      maxCalls: MAX_CALLS,
      stop,
    },
    phase.next,
  )
  const { latencies, errors, elapsedMs } = tally
  return {
    phase: phase.name,
    callers: callers * phase.together,
    succeeded: latencies.length,
    failed: [...errors.values()].reduce((sum, count) => sum + count, 0),
    perSecond: Math.round((latencies.length * 10_000) / elapsedMs) / 10,
    latencyMs: latenciesOf(tally),
    errors: Object.fromEntries(errors),
  }
}

function latenciesOf({ latencies }: Tally): Latencies | undefined {
  if (latencies.length === 0) return undefined
  const at = (q: number) => Math.round(quantile(latencies, q) * 100) / 100
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) }
}

function wentWell({ succeeded, failed }: Result): boolean {
  return succeeded > 0 && failed === 0
}

function notice(phases: readonly Phase[], { socket, duration, rate, api }: BenchOptions): string {
  const most = Math.min(MAX_CALLS, rate === undefined ? MAX_CALLS : (rate * duration) / 1_000)
  const remote = Math.ceil(most) * phases.filter((phase) => phase.remote).length
  const usd = ((remote * CLOUD_USD) / CLOUD_CALLS).toFixed(2)
  return [
    `Asks ${socket} by ${api}: ${phases.length} phases of ${duration / 1_000} s, of random bytes made here; nothing that is stored changes.`,
    `The key service may get up to ${count(remote)} requests. They appear in its audit log, count towards limits that API servers share, and cost up to about ${usd} USD at a cloud. Ctrl-C ends it with what was measured.`,
    '',
    '',
  ].join('\n')
}

const MOST_COLUMNS = 100
const TITLE_WIDTH = 30
const WIDTHS = [7, 9, 8, 9, 9, 9, 9, 9] as const
const HEAD = columns('', 'at once', 'answered', 'failed', 'a second', 'p50 ms', 'p95', 'p99', 'max')

function columns(title: string, ...cells: readonly string[]): string {
  return (
    title.padEnd(TITLE_WIDTH) + cells.map((cell, at) => cell.padStart(WIDTHS[at] ?? 0)).join('')
  )
}

interface Form {
  readonly head: string
  rowOf(phase: Phase, result: Result, io: Io): string
}

function formOf(options: BenchOptions, { columns: width }: Io): Form {
  if (options.json) return { head: '', rowOf: () => '' }
  if (width !== undefined && width < HEAD.length) return { head: '', rowOf: paragraph }
  return { head: `${HEAD}\n`, rowOf: line }
}

function line({ title }: Phase, result: Result, io: Io): string {
  const text = columns(title, ...cellsOf(result))
  return `${wentWell(result) ? text : paint(io, 'red', text)}\n`
}

/** Prints the same as a paragraph, where the table is too wide. */
function paragraph({ title }: Phase, result: Result, io: Io): string {
  const [callers, succeeded, failed, perSecond, p50, p95, p99, max] = cellsOf(result)
  const head = wentWell(result) ? title : paint(io, 'red', title)
  const calls = `${callers} at once, ${succeeded} answered, ${failed} failed, ${perSecond} a second`
  return fitted(`${head}\n  ${calls}\n  p50 ${p50} ms, p95 ${p95}, p99 ${p99}, max ${max}\n`, io)
}

function cellsOf({ callers, succeeded, failed, perSecond, latencyMs }: Result): string[] {
  const { p50, p95, p99, max } = latencyMs ?? {}
  return [
    String(callers),
    count(succeeded),
    count(failed),
    perSecond.toFixed(perSecond < 100 ? 1 : 0),
    ...[p50, p95, p99, max].map((ms) => ms?.toFixed(2) ?? '-'),
  ]
}

function summary(results: readonly Result[], interrupted: boolean): string {
  const failures = results.flatMap(({ phase, errors }) =>
    Object.entries(errors).map(
      ([code, times]) => `  ${phase}: ${code}, ${counted(times, 'time')}\n`,
    ),
  )
  const empty = results
    .filter(({ succeeded, failed }) => succeeded + failed === 0)
    .map(({ phase }) => `  ${phase}: nothing was asked, since nothing could be encrypted before\n`)
  return [
    '\n',
    ...(failures.length + empty.length === 0 ? [] : ['What failed:\n', ...failures, ...empty]),
    interrupted ? 'Stopped before it was done: the last line is of a part of its time.\n' : '',
    results.every(wentWell) && results.some(({ phase }) => phase === 'decrypt')
      ? 'Every plaintext that was decrypted is the one that was encrypted.\n'
      : '',
  ].join('')
}

function count(number: number): string {
  return number.toLocaleString('en-US')
}
