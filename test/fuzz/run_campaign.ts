/** Starts the threads of a campaign, watches them, and counts what they find. @module */

import { clearInterval, setInterval } from 'node:timers'
import { Worker } from 'node:worker_threads'
import type { CampaignOptions, Summary, Told } from './campaign.ts'
import { lineOf } from './engine/corpus.ts'
import type { Finding } from './engine/trial.ts'
import { MAX_INPUT_BYTES } from './mutate/mutator.ts'

interface Found extends Finding {
  /** How many inputs led to it. */
  readonly times: number
  /** The shortest of them, as a line of a corpus. */
  readonly line: string
}

export interface Result {
  /** Absent where the thread was ended. */
  readonly summary: Summary | undefined
  readonly findings: readonly Found[]
  /** Whether inputs leave more behind than what is measured by chance. */
  readonly grows: boolean
}

const HEAD_BYTES = 8
/** Longer than any input may take on a machine that is ten times as busy as it should be. */
const HANGS_MS = 60_000
const LOOK_MS = 1_000
const STOPPED_MS = 10_000
/** Node's exit code where nothing is left to run and something is still awaited. */
const UNSETTLED = 13
/** Of a thousand inputs; a leak of a single small object an input is more. */
const GROWS_BYTES = 32_000
/** Fewer inputs say nothing of growth. */
const GROWTH_INPUTS = 20_000
/** Numbers in messages are of the input, and not of the fault. */
const NUMBERS = /\d+/g

type Add = (finding: Finding, input: Uint8Array) => void
/** Told about once a second how many inputs there were so far. */
type Progress = (inputs: number) => void

export async function runCampaign(
  options: Omit<CampaignOptions, 'current'>,
  progress: Progress = () => undefined,
): Promise<Result> {
  const findings = new Map<string, Found>()
  const add: Add = (finding, input) => {
    const name = `${finding.kind} ${finding.what.replaceAll(NUMBERS, '#')}`
    const known = findings.get(name)
    const line = lineOf(input)
    const shortest = known === undefined || line.length < known.line.length ? line : known.line
    findings.set(name, { ...finding, times: (known?.times ?? 0) + 1, line: shortest })
  }
  const summary = await inTwoThreads(options, add, progress)
  const inputs = summary?.inputs ?? 0
  const grows = inputs > GROWTH_INPUTS && (summary?.grownBytes ?? 0) > GROWS_BYTES
  return { summary, findings: [...findings.values()], grows }
}

/** Undefined where one was ended. */
async function inTwoThreads(
  options: Omit<CampaignOptions, 'current'>,
  add: Add,
  progress: Progress,
): Promise<Summary | undefined> {
  const first = await inThread(options, add, progress)
  if (first === undefined) return undefined
  const runs = options.runs - first.inputs
  const seconds = options.seconds - first.seconds
  if (runs <= 0 || seconds <= 0) return first
  const { corpus } = first
  // Another seed, or it would make the same choices again.
  const seed = options.seed + 1
  const again = { ...options, runs, seconds, seed, learned: corpus }
  const second = await inThread(again, add, (inputs) => progress(first.inputs + inputs))
  if (second === undefined) return undefined
  return {
    ...first,
    inputs: first.inputs + second.inputs,
    seconds: first.seconds + second.seconds,
    grownBytes: second.grownBytes,
  }
}

async function inThread(
  options: Omit<CampaignOptions, 'current'>,
  add: Add,
  progress: Progress,
): Promise<Summary | undefined> {
  const current = new SharedArrayBuffer(HEAD_BYTES + MAX_INPUT_BYTES)
  const worker = new Worker(new URL('./campaign.ts', import.meta.url), {
    workerData: { ...options, current } satisfies CampaignOptions,
    // As in the thread of the program; with more, parsers go down much deeper before they give up.
    resourceLimits: { stackSizeMb: 1 },
  })
  let summary: Summary | undefined
  worker.on('message', (told: Told) => {
    if (told.type === 'finding') add(told.finding, told.input)
    else summary = told
  })
  await ended(worker, current, add, progress)
  return summary
}

/**
 * Ends the thread where the same input is there for too long. One that ends by itself waits for what
 * nothing in it will ever settle.
 */
function ended(
  worker: Worker,
  current: SharedArrayBuffer,
  add: Add,
  progress: Progress,
): Promise<void> {
  const number = new Int32Array(current, 0, 2)
  const hangs = (what: string) => {
    const length = Math.min(Atomics.load(number, 1), MAX_INPUT_BYTES)
    add({ kind: 'hang', what }, new Uint8Array(current, HEAD_BYTES).slice(0, length))
  }
  let seen = { number: -1, at: performance.now() }
  let looked = performance.now()
  return new Promise((resolve, reject) => {
    const timer = setInterval(() => {
      const now = Atomics.load(number, 0)
      progress(now)
      // Where this thread did not run either, the process was stopped.
      const stopped = performance.now() - looked > STOPPED_MS
      looked = performance.now()
      if (now !== seen.number || now === 0 || stopped) seen = { number: now, at: looked }
      if (performance.now() - seen.at < HANGS_MS) return
      hangs(`did not end within ${HANGS_MS} ms`)
      void worker.terminate()
    }, LOOK_MS)
    worker.on('error', reject)
    worker.on('exit', (code) => {
      clearInterval(timer)
      if (code === UNSETTLED) hangs('waits for what nothing settles')
      resolve()
    })
  })
}
