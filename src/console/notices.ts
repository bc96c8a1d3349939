/**
 * What commands say besides their result: warnings, where they have no log, and what to do next.
 *
 * @module
 */

import type { EventSink } from '../base/events.ts'
import type { Io } from './io.ts'
import { printable } from './output.ts'

/**
 * Suggests the next command to a newcomer. It is printed for people only, never into a script's
 * output.
 *
 * @param options of the command
 */
export function nextStep({ json }: { readonly json?: boolean }, command: string, io: Io): void {
  if (io.atTerminal && json !== true) io.err(`next: ${command}\n`)
}

/** Says that the command waits for something, which may take a while. */
export function tellWait(io: Io, text: string): void {
  io.err(`trousseau: ${text}\n`)
}

/** Prints warnings, such as that a certificate is not verified. */
export function noticesTo(io: Io): EventSink {
  return {
    emit(event) {
      if (event.type !== 'notice' || event.level === 'debug' || event.level === 'info') return
      io.err(`trousseau: ${printable(event.message)}\n`)
    },
  }
}
