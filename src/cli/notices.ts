/** Warnings, such as of a certificate that is not verified, where a command shows no log. @module */

import type { EventSink } from '../kms/events.ts'
import type { Io } from './io.ts'
import { printable } from './output.ts'

export function noticesTo(io: Io): EventSink {
  return {
    emit(event) {
      if (event.type !== 'notice' || event.level === 'debug' || event.level === 'info') return
      io.err(`trousseau: ${printable(event.message)}\n`)
    },
  }
}
