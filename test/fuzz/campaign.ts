/**
 * Fuzzes one surface in a thread of its own, so that an input that hangs can be named by the thread
 * that watches it. A first thread learns, and ends once nothing new is reached any more; what it has
 * found is mutated on in a second one without coverage, which costs up to half of the time.
 *
 * @module
 */

import { readFileSync } from 'node:fs'
import process from 'node:process'
import { parentPort, workerData } from 'node:worker_threads'
import { SeededRandom } from '../_lib/seeded_random.ts'
import { readCorpus, writeCorpus } from './engine/corpus.ts'
import { Coverage } from './engine/coverage.ts'
import { Fuzzer } from './engine/fuzzer.ts'
import { heldBytes } from './engine/heap.ts'
import { readAtOnce } from './engine/instant_files.ts'
import type { Finding } from './engine/trial.ts'
import { sayError } from './engine/trial.ts'
import { surfaceOf } from './surfaces/registry.ts'

export interface CampaignOptions {
  readonly name: string
  readonly runs: number
  /** It ends then, however many inputs there were. */
  readonly seconds: number
  readonly seed: number
  /** Where the current input stands: its number, its length and its bytes. */
  readonly current: SharedArrayBuffer
  readonly keeps: boolean
  /** What was learned before; without it this thread learns. */
  readonly learned?: readonly Uint8Array[] | undefined
}

export type Told =
  | { readonly type: 'finding'; readonly finding: Finding; readonly input: Uint8Array }
  | ({ readonly type: 'end' } & Summary)

export interface Summary {
  readonly inputs: number
  readonly seconds: number
  readonly corpus: readonly Uint8Array[]
  /** What was reached, of a thread that learns. */
  readonly functions?: number
  readonly ofFunctions?: number
  readonly lines?: number
  readonly ofLines?: number
  /** What a thousand inputs of the second half left behind. */
  readonly grownBytes: number
}

/** Asked for the time after so many. */
const ROUND = 1_024
/** So many in a row that reach nothing new, and there is nothing left to learn. */
const ENOUGH = 100_000
/** Where inputs start in the shared memory. */
const HEAD_BYTES = 8

const options: CampaignOptions = workerData
const number = new Int32Array(options.current, 0, 2)
const bytes = new Uint8Array(options.current, HEAD_BYTES)
let current: Uint8Array = new Uint8Array()

readAtOnce()
const surface = await surfaceOf(options.name)
const coverage = options.learned === undefined ? new Coverage(surface.files) : undefined
const target = await surface.open()
coverage?.take()

const tell = (told: Told) => parentPort?.postMessage(told)
const found = (finding: Finding, input: Uint8Array) => tell({ type: 'finding', finding, input })
// What nobody waits for must not fail either.
process.on('unhandledRejection', (error) => {
  found({ kind: 'crash', what: `in nobody's promise: ${sayError(error)}` }, current)
})
process.on('uncaughtException', (error) => {
  found({ kind: 'crash', what: `in nobody's call: ${sayError(error)}` }, current)
})

const fuzzer = new Fuzzer({
  target,
  mutate: surface.mutate,
  random: new SeededRandom(options.seed),
  ...(coverage === undefined ? {} : { coverage }),
  found,
  before(input) {
    current = input
    bytes.set(input.subarray(0, bytes.length))
    Atomics.store(number, 1, input.length)
    Atomics.add(number, 0, 1)
  },
})

const start = performance.now()
const secondsSince = () => (performance.now() - start) / 1_000
await fuzzer.begin(options.learned ?? [...target.seeds, ...(await readCorpus(surface.name))])
let middle: { readonly inputs: number; readonly held: number } | undefined
let inVain = 0
for (let left = options.runs; left > 0 && secondsSince() < options.seconds; left -= ROUND) {
  const { length } = fuzzer.corpus
  await fuzzer.fuzz(Math.min(ROUND, left))
  inVain = fuzzer.corpus.length > length ? 0 : inVain + ROUND
  if (coverage !== undefined && inVain > ENOUGH) break
  const half = left <= options.runs / 2 || secondsSince() > options.seconds / 2
  if (half) middle ??= { inputs: fuzzer.inputs, held: await heldBytes() }
}
const seconds = secondsSince()
const grownBytes = middle === undefined ? 0 : await grownSince(middle)
if (options.keeps && coverage !== undefined) {
  await writeCorpus(surface.name, await fuzzer.smallest())
}
tell({
  type: 'end',
  inputs: fuzzer.inputs,
  seconds,
  corpus: fuzzer.corpus,
  ...coverage?.summary((path) => readFileSync(path, 'utf8')),
  grownBytes,
})
await target[Symbol.asyncDispose]()
coverage?.close()

/** In bytes of a thousand inputs. */
async function grownSince({ inputs, held }: NonNullable<typeof middle>): Promise<number> {
  const grown = (await heldBytes()) - held
  return Math.round((grown / Math.max(fuzzer.inputs - inputs, 1)) * 1_000)
}
