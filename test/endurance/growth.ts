/**
 * Whether a figure of a process grows with its age. Garbage makes a saw of it, so only the lowest
 * value of each block of time counts; and neighbours in time are alike, so blocks are few and long.
 *
 * @module
 */

import { type Point, type Slope, slopeOf } from '../bench/statistics.ts'

const BLOCKS = 10
/** Student's t for 97.5 % with two degrees of freedom fewer than there are blocks. */
const T_OF_BLOCKS = 2.306

interface Growth extends Slope {
  /** The slope and this around it hold the true slope in 95 of 100 runs. */
  readonly margin: number
  readonly first: number
  readonly last: number
  readonly grows: boolean
}

/** @param samples in their order; as many as there are blocks at least */
export function growthOf(samples: readonly Point[]): Growth {
  const [begin, end] = [samples.at(0)?.x ?? 0, samples.at(-1)?.x ?? 0]
  const width = (end - begin) / BLOCKS
  const lowest = Array.from({ length: BLOCKS }, (_, block): Point => {
    const [low, high] = [begin + block * width, begin + (block + 1) * width]
    const within = samples.filter(({ x }) => x >= low && x <= high).map(({ y }) => y)
    return { x: (low + high) / 2, y: Math.min(...within) }
  }).filter(({ y }) => Number.isFinite(y))
  if (lowest.length < BLOCKS || width === 0) {
    throw new Error(`${samples.length} samples are too few to tell`)
  }
  const { slope, error } = slopeOf(lowest)
  const margin = T_OF_BLOCKS * error
  return {
    slope,
    error,
    margin,
    first: lowest[0]?.y ?? Number.NaN,
    last: lowest.at(-1)?.y ?? Number.NaN,
    grows: slope > margin,
  }
}
