/**
 * A process that runs histories side by side, over a key service of its own. It is told which, and
 * tells what came of each.
 *
 * @module
 */

import { subscribe } from 'node:diagnostics_channel'
import { readdir } from 'node:fs/promises'
import type { Socket } from 'node:net'
import process from 'node:process'
import { inspect } from 'node:util'
import { until } from '../_lib/wait.ts'
import { makeGround } from './ground.ts'
import { endNow } from './plugin.ts'
import { type Outcome, runHistory } from './run_history.ts'
import type { History } from './steps.ts'

/** What a lane asks for, and what it tells. */
export type FromWorker =
  | { readonly type: 'next'; readonly lane: number }
  | { readonly type: 'done'; readonly history: History; readonly outcome: PlainOutcome }
  | { readonly type: 'fault'; readonly message: string }
  | { readonly type: 'end'; readonly peakMb: number; readonly left: readonly string[] }
export type ToWorker =
  | { readonly type: 'run'; readonly lane: number; readonly history: History }
  | { readonly type: 'enough'; readonly lane: number }

/** What can be sent to another process. */
export interface PlainOutcome extends Omit<Outcome, 'violation'> {
  readonly violation: { readonly rule: string; readonly message: string } | undefined
}

/**
 * What a process has when it rests: its channel to the one above, and files of its own. Sockets too,
 * which the proxies and their agents have as well: those of plugins are counted by themselves.
 */
const AT_REST = new Set([
  'PipeWrap',
  'FSReqCallback',
  'FSReqPromise',
  'TTYWrap',
  'Immediate',
  'TCPSocketWrap',
])
const SPARE_DESCRIPTORS = 8
/** The plugin did not start, or the tests themselves failed. */
const NOT_RUN = 'the history could not be run'

/** Connections to key services that are open: undici tells of each. */
const connections = new Set<Socket>()
subscribe('undici:client:connected', (message) => {
  const { socket } = message as { readonly socket: Socket }
  connections.add(socket)
  socket.once('close', () => connections.delete(socket))
})

if (import.meta.main) await work(Number(process.argv[2]))

async function work(lanes: number): Promise<void> {
  process.on('unhandledRejection', (error) => tell({ type: 'fault', message: inspect(error) }))
  process.on('uncaughtException', (error) => tell({ type: 'fault', message: inspect(error) }))
  const waiting = new Map<number, (message: ToWorker) => void>()
  process.on('message', (message: ToWorker) => waiting.get(message.lane)?.(message))
  const before = (await readdir('/proc/self/fd')).length
  const ground = await makeGround()
  // Whoever is above is gone: nothing of this process may stay, in whatever state it is.
  const { pid } = ground.bao
  const leave = () => {
    endNow(pid)
    process.exit(1)
  }
  process.on('disconnect', leave)
  const next = (lane: number) =>
    new Promise<ToWorker>((resolve) => {
      waiting.set(lane, resolve)
      tell({ type: 'next', lane })
    })
  await Promise.all(
    Array.from({ length: lanes }, async (_, number) => {
      await using lane = await ground.lane(`lane-${number}`)
      for (;;) {
        const message = await next(number)
        if (message.type === 'enough') return
        const { history } = message
        tell({ type: 'done', history, outcome: await outcomeOf(history, { ground, lane }) })
      }
    }),
  )
  await ground[Symbol.asyncDispose]()
  process.off('disconnect', leave)
  const left = await leftovers(before)
  const { maxRSS } = process.resourceUsage()
  process.send?.({ type: 'end', peakMb: maxRSS / 1024, left } satisfies FromWorker, () =>
    process.exit(0),
  )
}

/** Timers, sockets and descriptors that nobody closed, where they do not go by themselves. */
async function leftovers(before: number): Promise<string[]> {
  const now = async () => {
    const resources = process.getActiveResourcesInfo().filter((name) => !AT_REST.has(name))
    const open = [...connections].map((each) => `connection to port ${each.remotePort}`)
    const descriptors = (await readdir('/proc/self/fd')).length - before
    const many = descriptors > SPARE_DESCRIPTORS ? [`${descriptors} descriptors`] : []
    return [...resources, ...open, ...many]
  }
  // The timer of this waiting is one of them.
  const rest = async () =>
    (await now()).every((name) => name === 'Timeout') && (await now()).length <= 1
  await until('nothing is left', rest, { limitMs: 20_000, everyMs: 100 }).catch(() => undefined)
  return (await rest()) ? [] : await now()
}

async function outcomeOf(
  history: History,
  parts: Parameters<typeof runHistory>[1],
): Promise<PlainOutcome> {
  try {
    return plain(await runHistory(history, parts))
  } catch (error) {
    const violation = { rule: NOT_RUN, message: inspect(error) }
    return {
      violation,
      counts: {},
      struck: {},
      recovery: undefined,
      acknowledged: 0,
      peakMb: undefined,
    }
  }
}

function plain({ violation, ...outcome }: Outcome): PlainOutcome {
  if (violation === undefined) return { ...outcome, violation }
  const { rule, message } = violation
  return { ...outcome, violation: { rule, message } }
}

function tell(message: FromWorker): void {
  process.send?.(message)
}
