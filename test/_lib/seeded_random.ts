/** Random numbers that a seed reproduces, for fuzzing: mulberry32. @module */

import { Buffer } from 'node:buffer'
import process from 'node:process'

export class SeededRandom {
  readonly seed: number
  #state: number

  constructor(seed: number) {
    this.seed = seed
    this.#state = seed >>> 0
  }

  /** From the environment's `FUZZ_SEED` or new; printed, so that a failure can be repeated. */
  static announced(what: string): SeededRandom {
    const seed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 32))
    process.stdout.write(`${what}: FUZZ_SEED=${seed}\n`)
    return new SeededRandom(seed)
  }

  /** A whole number from 0 to `below` - 1. */
  below(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256))
  }

  pick<T>(from: readonly T[]): T {
    const picked = from[this.below(from.length)]
    if (picked === undefined) throw new Error('Nothing to pick from')
    return picked
  }

  /**
   * A copy with a few bytes changed, removed, inserted or repeated; never equal to the original.
   */
  mutate(bytes: Uint8Array): Uint8Array {
    let result = Uint8Array.from(bytes)
    for (let times = 1 + this.below(4); times > 0; times -= 1) {
      const at = this.below(result.length + 1)
      const change = this.pick(['flip', 'set', 'cut', 'insert', 'truncate', 'repeat'] as const)
      result = changed(result, at, change, this)
    }
    return Buffer.from(result).equals(bytes) ? this.mutate(bytes) : result
  }
}

type Change = 'flip' | 'set' | 'cut' | 'insert' | 'truncate' | 'repeat'

function changed(
  bytes: Uint8Array<ArrayBuffer>,
  at: number,
  change: Change,
  random: SeededRandom,
): Uint8Array<ArrayBuffer> {
  const before = bytes.subarray(0, at)
  const after = bytes.subarray(at)
  const byte = after[0] ?? 0
  switch (change) {
    case 'flip':
      return Uint8Array.from([...before, byte ^ (1 << random.below(8)), ...after.subarray(1)])
    case 'set':
      return Uint8Array.from([...before, random.below(256), ...after.subarray(1)])
    case 'cut':
      return Uint8Array.from([...before, ...after.subarray(1 + random.below(8))])
    case 'insert':
      return Uint8Array.from([...before, ...random.bytes(1 + random.below(8)), ...after])
    case 'truncate':
      return Uint8Array.from(before)
    case 'repeat':
      return Uint8Array.from([...before, ...after.subarray(0, 16), ...after])
  }
}
