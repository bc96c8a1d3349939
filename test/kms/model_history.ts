/**
 * One random history of the model, and many of them. Run with a seed and a number,
 * this file runs so many and prints the first that broke something.
 *
 * @module
 */

import process from 'node:process'
import { SeededRandom } from '../_lib/seeded_random.ts'
import { BrokenInvariant, type Mistakes, ModelWorld } from './model_world.ts'

const LEAST_EVENTS = 100
const MORE_EVENTS = 200
/** Every so manieth is without outages, so that nodes must agree all the time. */
const CALM = 3
const NARRATED = 40

/** Runs the history of a seed; what it broke, in words, and undefined where all held. */
export async function history(seed: number, mistakes: Mistakes = {}): Promise<string | undefined> {
  const random = new SeededRandom(seed)
  const world = new ModelWorld({ random, calm: seed % CALM === 0, mistakes })
  try {
    await world.start()
    const events = LEAST_EVENTS + random.below(MORE_EVENTS)
    for (let event = 0; event < events; event += 1) await world.step()
    await world.settle()
    return undefined
  } catch (error) {
    if (!(error instanceof BrokenInvariant)) throw error
    const last = world.log.slice(-NARRATED).join('\n  ')
    return `${error.message}\n  MODEL_HISTORY=${seed} repeats it; its last events:\n  ${last}`
  }
}

/** The first of `count` histories that broke something. */
async function histories(seed: number, count: number): Promise<string | undefined> {
  const random = new SeededRandom(seed)
  for (let turn = 0; turn < count; turn += 1) {
    const broken = await history(random.below(2 ** 32))
    if (broken !== undefined) return broken
  }
  return undefined
}

if (import.meta.main) {
  // Outages make many errors, whose stacks nobody reads.
  Error.stackTraceLimit = 0
  const [seed = 0, count = 0] = process.argv.slice(2).map(Number)
  process.stdout.write((await histories(seed, count)) ?? '')
}
