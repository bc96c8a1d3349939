/** Processes that run histories, and what is to be run next. @module */

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { History } from './steps.ts'
import type { FromWorker, PlainOutcome, ToWorker } from './worker.ts'

const WORKER = fileURLToPath(new URL('./worker.ts', import.meta.url))

/** What came of all of them. */
interface CrewResult {
  /** Faults that nobody caught, in words: they would have ended the plugin's process. */
  readonly faults: readonly string[]
  /** What a process kept after all histories had ended. */
  readonly left: readonly string[]
  readonly peakMb: number
}

interface CrewOptions {
  readonly processes: number
  /** How many histories a process runs side by side. */
  readonly lanes: number
  /** Undefined once there is none. */
  readonly next: () => History | undefined | Promise<History | undefined>
  readonly done: (history: History, outcome: PlainOutcome) => void
}

export async function runCrew(options: CrewOptions): Promise<CrewResult> {
  const results = await Promise.all(
    Array.from({ length: options.processes }, () => runWorker(options)),
  )
  return {
    faults: results.flatMap(({ faults }) => faults),
    left: results.flatMap(({ left }) => left),
    peakMb: Math.max(...results.map(({ peakMb }) => peakMb)),
  }
}

async function runWorker({ lanes, next, done }: CrewOptions): Promise<CrewResult> {
  const child = fork(WORKER, [String(lanes)], { serialization: 'advanced' })
  const faults: string[] = []
  let end: Pick<CrewResult, 'left' | 'peakMb'> | undefined
  child.on('message', (message: FromWorker) => {
    if (message.type === 'next') void give(child, message.lane, next)
    else if (message.type === 'done') done(message.history, message.outcome)
    else if (message.type === 'fault') faults.push(message.message)
    else end = message
  })
  const [code] = await once(child, 'close')
  if (end === undefined)
    return { faults: [...faults, `a process ended with ${code}`], left: [], peakMb: 0 }
  return { faults, left: end.left, peakMb: end.peakMb }
}

async function give(child: ChildProcess, lane: number, next: CrewOptions['next']): Promise<void> {
  const history = await next()
  const message: ToWorker =
    history === undefined ? { type: 'enough', lane } : { type: 'run', lane, history }
  child.send(message)
}
