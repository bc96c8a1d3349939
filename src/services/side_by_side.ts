/** Sends the items of a batch one by one, for services that have no batches. @module */

import { toKmsError } from '../base/errors.ts'
import type { Outcome } from '../base/provider.ts'

/** More requests than there are connections would only wait for one. */
const AT_ONCE = 8

/**
 * Runs `work` for each item, a few at a time. An error is the outcome of its item alone, unless the
 * signal fired.
 */
export async function sideBySide<TItem, TValue>(
  items: readonly TItem[],
  signal: AbortSignal,
  work: (item: TItem) => Promise<TValue>,
): Promise<readonly Outcome<TValue>[]> {
  const outcomes: Outcome<TValue>[] = []
  const queue = items.entries()
  const worker = async () => {
    for (const [index, item] of queue) {
      signal.throwIfAborted()
      outcomes[index] = await outcomeOf(work(item))
    }
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, worker))
  signal.throwIfAborted()
  return outcomes
}

async function outcomeOf<T>(work: Promise<T>): Promise<Outcome<T>> {
  try {
    return { ok: true, value: await work }
  } catch (error) {
    return { ok: false, error: toKmsError(error) }
  }
}
