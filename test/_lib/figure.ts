/** Prints a figure that a test measured; `test/run.ts` shows these lines to people. @module */

import process from 'node:process'

export function figure(text: string): void {
  // uvu may have begun a line.
  process.stdout.write(`\nfigure: ${text}\n`)
}
