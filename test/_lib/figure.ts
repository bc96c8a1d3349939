/**
 * What a test measured, for people: `test/run.ts` shows these lines.
 *
 * @module
 */

import process from 'node:process'

export function figure(text: string): void {
  // uvu may have begun a line.
  process.stdout.write(`\nfigure: ${text}\n`)
}
