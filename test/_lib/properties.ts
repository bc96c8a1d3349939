/**
 * Properties as this project checks them with fast-check: a few inputs in every test run, with a
 * seed that is printed where one fails, and as many as `PROPERTY_RUNS` times that by command.
 *
 * @module
 */

import process from 'node:process'
import * as fc from 'fast-check'

const FACTOR = Number(process.env['PROPERTY_RUNS'] ?? 1)
const SEED = process.env['PROPERTY_SEED']

/**
 * Fails with the smallest input that fast-check finds; `PROPERTY_SEED` repeats it.
 *
 * @param runs how many inputs, in an ordinary run
 */
export async function holds<T>(
  runs: number,
  property: fc.IRawProperty<T>,
  examples: T[] = [],
): Promise<void> {
  const seed = SEED === undefined ? {} : { seed: Number(SEED) }
  await fc.assert(property, { numRuns: Math.ceil(runs * FACTOR), examples, ...seed })
}
