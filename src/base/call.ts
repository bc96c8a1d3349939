/**
 * Time limits of one call: the caller gets an answer even when something hangs (rules S12 and E13).
 *
 * @module
 */

import type { Clock } from './clock.ts'
import { KmsError } from './errors.ts'
import type { Call } from './provider.ts'

/**
 * Runs `work` under a time limit and settles at the limit even when `work` ignores
 * its signal.
 *
 * @throws KmsError `timeout` at the limit, otherwise what `work` throws
 */
export async function withinLimit<T>(
  clock: Clock,
  limitMs: number,
  work: (call: Call) => Promise<T>,
): Promise<T> {
  const controller = new AbortController()
  const cancelTimer = clock.after(limitMs, () => {
    controller.abort(new KmsError(`Gave up after ${limitMs} ms`, { code: 'timeout' }))
  })
  const call = { signal: controller.signal, deadline: clock.monotonic() + limitMs }
  try {
    return await unlessAborted(work(call), call.signal)
  } finally {
    cancelTimer()
  }
}

/** Settles as `promise` does, or rejects with the signal's reason as soon as the signal fires. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true })
    promise.then(
      (value) => {
        signal.removeEventListener('abort', abort)
        resolve(value)
      },
      (error: unknown) => {
        signal.removeEventListener('abort', abort)
        reject(error)
      },
    )
  })
}

/** Settles when the signal fires. */
export function stopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

/** Runs `work` under `part` of the time that is left to `call`, and under its signal. */
export function withinPart<T>(
  clock: Clock,
  call: Call,
  part: number,
  work: (call: Call) => Promise<T>,
): Promise<T> {
  const limitMs = Math.max((call.deadline - clock.monotonic()) * part, 0)
  return withinLimit(clock, limitMs, (own) => {
    const signal = AbortSignal.any([own.signal, call.signal])
    return unlessAborted(work({ ...call, signal, deadline: own.deadline }), signal)
  })
}
