/** How inputs are changed, whatever they are. @module */

import type { SeededRandom } from '../../_lib/seeded_random.ts'

/** Makes another input of one, maybe with parts of a second one. */
export type Mutator = (input: Uint8Array, other: Uint8Array, random: SeededRandom) => Uint8Array

/** One change in so many makes an input much deeper or longer than anything honest. */
export const RARELY = 400
/** Longer inputs are only worth their time where a limit is tried. */
export const MAX_INPUT_BYTES = 131_072

/** One of several ways, each as often as its weight. */
export function oneOf<T>(random: SeededRandom, ways: readonly (readonly [number, T])[]): T {
  let left = random.below(ways.reduce((sum, [weight]) => sum + weight, 0))
  const found = ways.find(([weight]) => {
    left -= weight
    return left < 0
  })
  if (found === undefined) throw new Error('Nothing to choose from')
  return found[1]
}
