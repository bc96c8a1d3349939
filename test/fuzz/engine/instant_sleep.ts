/** Sleeps that take no time, and limits that never come: what waits is seen by its requests alone. @module */

import { syncBuiltinESMExports } from 'node:module'
import timers, { setImmediate as turn } from 'node:timers/promises'

const { setTimeout: sleep } = timers
const { timeout } = AbortSignal

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
    AbortSignal.timeout = () => new AbortController().signal
  }

  [Symbol.dispose](): void {
    Object.assign(timers, { setTimeout: sleep })
    syncBuiltinESMExports()
    AbortSignal.timeout = timeout
  }
}
