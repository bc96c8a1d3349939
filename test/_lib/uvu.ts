/**
 * uvu as this project uses it. uvu 0.5.6 has no time limit, and reports success when a hook throws
 * or when a test throws something that is no Error. So every handler goes through here, and
 * `test/run.ts` also checks the counts.
 *
 * @module
 */

import { suite as uvuSuite } from 'uvu'
import * as assert from 'uvu/assert'

/** Only catches tests that hang, also on a machine that is ten times as busy as it should be. */
const LIMIT_MS = 280_000

type Body<T> = (context: T) => void | Promise<void>

/**
 * A suite whose tests each get a fresh context from `setup`. Only a test whose work
 * a variable makes longer names a `limitMs`.
 */
export function suite<T extends object>(
  name: string,
  setup: () => T | Promise<T>,
  limitMs = LIMIT_MS,
) {
  const tests = uvuSuite(name)
  const test = (title: string, body: Body<T>): void => {
    tests(title, () => within(limitMs, async () => body(await setup())))
  }
  return Object.assign(test, { run: () => tests.run() })
}

/** Resolves to the error that `promise` rejects with; fails if it fulfils. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise
  } catch (error) {
    return error
  }
  return assert.unreachable('Expected a rejection')
}

async function within(ms: number, body: () => Promise<void>): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`Test ran longer than ${ms} ms`)), ms)
  try {
    await Promise.race([body(), late])
  } catch (error) {
    throw error instanceof Error ? error : new Error('Test threw a non-Error', { cause: error })
  } finally {
    clearTimeout(timer)
  }
}
