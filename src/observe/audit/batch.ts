/** Lines that are written together, and how far that has come. @module */

import { Buffer } from 'node:buffer'
import { type ChainLink, hashOf } from './lines.ts'

interface BatchOptions {
  /** What the first line is linked to. */
  readonly from: ChainLink
  /** Of records, their fields, line by line. */
  readonly records?: readonly string[]
  /** Whether it ends the part. */
  readonly ends?: boolean
}

export class Batch {
  readonly records: readonly string[]
  readonly ends: boolean
  readonly #lines: readonly string[]
  readonly #from: ChainLink
  readonly #bytes: Buffer
  #taken = 0

  constructor(lines: readonly string[], { from, records = [], ends = false }: BatchOptions) {
    this.#lines = lines
    this.#from = from
    this.records = records
    this.ends = ends
    this.#bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''))
  }

  get rest(): Uint8Array {
    return this.#bytes.subarray(this.#taken)
  }

  get isWhole(): boolean {
    return this.#taken === this.#bytes.length
  }

  advance(bytes: number): void {
    this.#taken += bytes
  }

  /** How many lines are written with their line feed. */
  get whole(): number {
    const text = this.#bytes.subarray(0, this.#taken).toString('latin1')
    return text.split('\n').length - 1
  }

  /** The last of those. */
  get written(): ChainLink {
    const { whole } = this
    const last = this.#lines[whole - 1]
    if (last === undefined) return this.#from
    return { seq: this.#from.seq + whole, hash: hashOf(last) }
  }

  /** Records whose lines are not whole. */
  get unwritten(): readonly string[] {
    return this.records.slice(this.whole)
  }
}
