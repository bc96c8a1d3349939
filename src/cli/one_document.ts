/**
 * `--json` prints exactly one document in every case: a command that fails before it has begun one
 * prints the failure as that document.
 *
 * @module
 */

import type { Io } from '../console/io.ts'
import { type Failure, json } from '../console/output.ts'

export interface OneDocument {
  /** What the command prints with. */
  readonly io: Io
  /** Prints `{"error": …}`, unless the command has begun a document of its own. */
  fail(failure: Failure): void
}

export function oneDocument(outer: Io): OneDocument {
  let begun = false
  let failed = false
  return {
    io: {
      ...outer,
      out(text) {
        // A command that was stopped may still be about to print.
        if (failed) return
        begun ||= text !== ''
        outer.out(text)
      },
    },
    fail(error) {
      if (begun || failed) return
      failed = true
      outer.out(json({ error }))
    },
  }
}
