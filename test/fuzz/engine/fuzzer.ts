/**
 * Changes inputs, and keeps those that reach what none reached before. Inputs go in batches, after
 * each of which the coverage is asked once; only in a batch that has something new is it found out,
 * by halves, which inputs they were.
 *
 * @module
 */

import type { SeededRandom } from '../../_lib/seeded_random.ts'
import type { Mutator } from '../mutate/mutator.ts'
import type { Target } from '../surface.ts'
import type { Coverage } from './coverage.ts'
import { type Finding, tried } from './trial.ts'

const BATCH = 256
/** Half of all inputs are made of those that were found last. */
const LATEST = 16
const LONG_BYTES = 8_192
const LONG_SELDOM = 50

interface FuzzerOptions {
  readonly target: Target
  readonly mutate: Mutator
  readonly random: SeededRandom
  /** Without it nothing is learned. */
  readonly coverage?: Coverage
  readonly found: (finding: Finding, input: Uint8Array) => void
  /** Called before each input, with what could be found hanging. */
  readonly before?: (input: Uint8Array) => void
}

export class Fuzzer {
  readonly #options: FuzzerOptions
  readonly corpus: Uint8Array[] = []
  /** Those of them that are not long; all where each one is. */
  #short: readonly Uint8Array[] = []
  inputs = 0

  constructor(options: FuzzerOptions) {
    this.#options = options
  }

  /** Runs inputs as they are, and keeps those of them that reach something new. */
  async begin(inputs: readonly Uint8Array[]): Promise<void> {
    const { coverage } = this.#options
    for (const input of inputs) {
      await this.#run(input)
      if (coverage === undefined) this.#keep(input)
      else this.#keepIfFresh(coverage, input)
    }
    if (this.corpus.length === 0) this.#keep(new Uint8Array())
  }

  /**
   * Of the corpus, the inputs that together reach all that it reaches: the shortest first, and each
   * of them only where it adds something.
   */
  async smallest(): Promise<Uint8Array[]> {
    const { coverage, target } = this.#options
    if (coverage === undefined) return [...this.corpus]
    const kept: Uint8Array[] = []
    coverage.take()
    coverage.begin()
    for (const input of this.corpus.toSorted((a, b) => a.length - b.length)) {
      await tried(target, input)
      const taken = coverage.take()
      if (!coverage.isFresh(taken)) continue
      coverage.learn(taken)
      kept.push(input)
    }
    coverage.resume()
    return kept
  }

  /** @param runs how many inputs are made */
  async fuzz(runs: number): Promise<void> {
    const { coverage } = this.#options
    for (let left = runs; left > 0; left -= BATCH) {
      const batch = Array.from({ length: Math.min(BATCH, left) }, () => this.#made())
      for (const input of batch) await this.#run(input)
      if (coverage !== undefined) await this.#attribute(coverage, batch)
    }
  }

  #made(): Uint8Array {
    const { mutate, random } = this.#options
    return mutate(this.#parent(), random.pick(this.corpus), random)
  }

  #parent(): Uint8Array {
    const { random } = this.#options
    const { length } = this.corpus
    const latest = random.below(2) === 0 ? Math.max(length - LATEST, 0) : 0
    const input = this.corpus[latest + random.below(length - latest)] ?? new Uint8Array()
    // Of a long one most changes are as good as none, and each takes long.
    return input.length < LONG_BYTES || random.below(LONG_SELDOM) === 0
      ? input
      : random.pick(this.#short)
  }

  async #run(input: Uint8Array): Promise<void> {
    const { target, found, before } = this.#options
    this.inputs += 1
    before?.(input)
    const finding = await tried(target, input)
    if (finding !== undefined) found(finding, input)
  }

  async #attribute(coverage: Coverage, batch: readonly Uint8Array[]): Promise<void> {
    const taken = coverage.take()
    if (!coverage.isFresh(taken)) return
    await this.#halve(coverage, batch)
    // What depends on more than the input is not looked for again.
    coverage.learn(taken)
  }

  async #halve(coverage: Coverage, batch: readonly Uint8Array[]): Promise<void> {
    const middle = batch.length >>> 1
    const parts = batch.length === 1 ? [batch] : [batch.slice(0, middle), batch.slice(middle)]
    for (const part of parts) {
      for (const input of part) {
        this.#options.before?.(input)
        await tried(this.#options.target, input)
      }
      const [only] = part
      if (part.length === 1 && only !== undefined) this.#keepIfFresh(coverage, only)
      else if (coverage.isFresh(coverage.take())) await this.#halve(coverage, part)
    }
  }

  #keepIfFresh(coverage: Coverage, input: Uint8Array): void {
    const taken = coverage.take()
    if (!coverage.isFresh(taken)) return
    coverage.learn(taken)
    this.#keep(input)
  }

  #keep(input: Uint8Array): void {
    this.corpus.push(input)
    const short = this.corpus.filter(({ length }) => length < LONG_BYTES)
    this.#short = short.length > 0 ? short : this.corpus
  }
}
