/**
 * Sleeps that take no time, and limits that come at once for whoever has no answer: what waits is
 * seen by its requests alone.
 *
 * @module
 */

import { syncBuiltinESMExports } from 'node:module'
import timers, { setImmediate as turn } from 'node:timers/promises'

const { setTimeout: sleep } = timers
const { timeout } = AbortSignal
/** Longer than an answer that is played takes. */
const SILENCE_MS = 20

/** For the whole thread, until it is disposed of. */
export class InstantSleep implements Disposable {
  constructor() {
    const instant = async <T>(_ms: number, value: T, options?: { signal?: AbortSignal }) => {
      await turn()
      options?.signal?.throwIfAborted()
      return value
    }
    Object.assign(timers, { setTimeout: instant })
    syncBuiltinESMExports()
    AbortSignal.timeout = () => {
      const limit = new AbortController()
      // The real one holds up no process that is at its end; nothing else does here.
      setTimeout(
        () => limit.abort(new DOMException('It took too long', 'TimeoutError')),
        SILENCE_MS,
      )
      return limit.signal
    }
  }

  [Symbol.dispose](): void {
    Object.assign(timers, { setTimeout: sleep })
    syncBuiltinESMExports()
    AbortSignal.timeout = timeout
  }
}
