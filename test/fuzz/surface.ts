/** What a surface of the program is to the fuzzer: a way in for bytes that somebody else wrote. @module */

import { RamFile } from './engine/ram_file.ts'
import type { Mutator } from './mutate/mutator.ts'

export interface Surface {
  readonly name: string
  /** Whose words these bytes are. */
  readonly from: string
  /** Beginnings of paths, from `src/` on, that the inputs are to reach. */
  readonly files: readonly string[]
  readonly mutate: Mutator
  readonly open: () => Promise<Target>
}

export interface Target extends AsyncDisposable {
  /** Inputs as an honest side writes them. */
  readonly seeds: readonly Uint8Array[]
  /** Ends with a value, or with an error that has a name; anything else is a finding. */
  readonly run: (input: Uint8Array) => unknown
}

/** A target that holds nothing open. */
export function target(seeds: readonly Uint8Array[], run: Target['run']): Target {
  return { seeds, run, [Symbol.asyncDispose]: () => Promise.resolve() }
}

/**
 * A target that reads its inputs from a file.
 *
 * @param written what is in the file for an input
 */
export function fileTarget(
  seeds: readonly Uint8Array[],
  run: (path: string, input: Uint8Array) => unknown,
  written = (input: Uint8Array) => input,
): Target {
  const file = new RamFile()
  const held = (input: Uint8Array) => {
    file.hold(written(input))
    return run(file.path, input)
  }
  return { seeds, run: held, [Symbol.asyncDispose]: () => file[Symbol.asyncDispose]() }
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}
