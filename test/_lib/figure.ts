/** Prints a figure that a test measured; `test/run.ts` shows these lines to people. @module */

import process from 'node:process'

export function figure(text: string): void {
  // uvu may have begun a line.
  process.stdout.write(`\nfigure: ${text}\n`)
}

/** @param start in `performance.now` milliseconds */
export function since(start: number): string {
  return `${((performance.now() - start) / 1_000).toFixed(1)} s`
}
