/** A pause that ends early when its request does. @module */

import { unlessAborted } from '../call.ts'
import type { Clock } from '../clock.ts'

/** Rejects with the signal's reason when it fires first. */
export async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  let cancel: () => void = () => undefined
  const passed = new Promise<void>((resolve) => {
    cancel = clock.after(ms, resolve)
  })
  try {
    await unlessAborted(passed, signal)
  } finally {
    cancel()
  }
}
