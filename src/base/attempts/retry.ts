/** Repeats work whose failure may be temporary. @module */

import type { Clock } from '../clock.ts'
import type { Call } from '../provider.ts'
import { pause } from './pause.ts'

interface RetryOptions {
  readonly clock: Clock
  /** From 0 to 1; for jitter alone. */
  readonly random: () => number
  readonly mayPass: (error: unknown) => boolean
  /** The wait that the service itself demanded. */
  readonly waitMs?: (error: unknown) => number
  readonly firstPauseMs?: number
}

const MAX_TURNS = 4
const FIRST_PAUSE_MS = 100
/** The shortest time in which an answer can come after a pause. */
const ROOM_MS = 100

/**
 * Repeats `work` after growing pauses while its failure may be temporary and there is time left.
 */
export async function retry<T>(
  work: () => Promise<T>,
  { clock, random, mayPass, waitMs, firstPauseMs = FIRST_PAUSE_MS }: RetryOptions,
  { signal, deadline }: Call,
): Promise<T> {
  for (let turn = 1; ; turn += 1) {
    try {
      return await work()
    } catch (error) {
      const ms = firstPauseMs * 2 ** (turn - 1) * (0.5 + random()) + (waitMs?.(error) ?? 0)
      const late = clock.monotonic() + ms + ROOM_MS >= deadline
      if (turn === MAX_TURNS || late || signal.aborted || !mayPass(error)) throw error
      await pause(clock, ms, signal)
    }
  }
}
