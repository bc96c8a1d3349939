/**
 * `--json` prints exactly one document, whatever becomes of the command: what fails before
 * it has begun one says why in it.
 *
 * @module
 */

import type { Io } from '../console/io.ts'
import { type Failure, json } from '../console/output.ts'

export interface OneDocument {
  /** For the command. */
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
