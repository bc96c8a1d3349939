/** What commands say beside their result: warnings, where they show no log, and what comes next. @module */

import type { EventSink } from '../base/events.ts'
import type { Io } from './io.ts'
import { printable } from './output.ts'

/**
 * What a newcomer does after this. Only people are told: nothing of it is in a script's output.
 *
 * @param options of the command
 */
export function nextStep({ json }: { readonly json?: boolean }, command: string, io: Io): void {
  if (io.atTerminal && json !== true) io.err(`next: ${command}\n`)
}

/** That something is waited for, which may take a while. */
export function tellWait(io: Io, text: string): void {
  io.err(`trousseau: ${text}\n`)
}

/** Warnings, such as of a certificate that is not verified. */
export function noticesTo(io: Io): EventSink {
  return {
    emit(event) {
      if (event.type !== 'notice' || event.level === 'debug' || event.level === 'info') return
      io.err(`trousseau: ${printable(event.message)}\n`)
    },
  }
}
