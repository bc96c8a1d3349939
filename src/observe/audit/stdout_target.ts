/** The audit stream on standard output. The log is on standard error. @module */

import { write } from 'node:fs'
import { setTimeout } from 'node:timers'
import { promisify } from 'node:util'
import { systemCodeOf } from '../../base/errors.ts'
import { type ChainLink, ORIGIN } from './lines.ts'
import type { AuditTarget, Before } from './target.ts'

const STANDARD_OUTPUT = 1
/** How often a reader that has no room is tried again. */
const FULL_MS = 100
const writeTo = promisify(write)

export class AuditStdout implements AuditTarget {
  readonly name = 'standard output'
  readonly look = () => Promise.resolve()
  readonly end = () => Promise.resolve()
  readonly goesOn = () => true

  begin(own: ChainLink | undefined): Promise<Before> {
    return Promise.resolve({
      link: own ?? ORIGIN,
      after: own === undefined ? 'unknown' : 'rotated',
    })
  }

  async write(bytes: Uint8Array): Promise<number> {
    for (;;) {
      try {
        return (await writeTo(STANDARD_OUTPUT, bytes)).bytesWritten
      } catch (error) {
        if (systemCodeOf(error) !== 'EAGAIN') throw error
        await new Promise((resolve) => {
          setTimeout(resolve, FULL_MS)
        })
      }
    }
  }
}
