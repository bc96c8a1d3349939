/**
 * Whether a figure of a process grows with its age. Garbage makes a saw of it, so only the lowest
 * value of each block of time counts; and neighbours in time are alike, so blocks are few and long.
 *
 * @module
 */

import { type Point, slopeOf } from '../bench/statistics.ts'

const BLOCKS = 20
/** Student's t for 97.5 %, by the degrees of freedom that are left of the blocks. */
const T = { ofLine: 2.101, ofPlane: 2.11 } as const

interface Growth {
  /** Of the figure, for each one of x. */
  readonly slope: number
  /** The slope and this around it hold the true slope in 95 of 100 runs. */
  readonly margin: number
  /** What was lowest in the first block and in the last. */
  readonly first: number
  readonly last: number
  readonly grows: boolean
}

interface AgedGrowth extends Growth {
  /** What each doubling of the age adds besides. */
  readonly perDoubling: number
}

/** @param samples in their order; as many as there are blocks at least */
export function growthOf(samples: readonly Point[]): Growth {
  const lowest = lowestOf(samples)
  const { slope, error } = slopeOf(lowest)
  return growth(lowest, slope, T.ofLine * error)
}

/**
 * The same for the memory of a process that is compiled as it runs: what is called once a second is
 * compiled after a minute, and what is called once a minute after an hour, so that each doubling of
 * its age adds as much as the one before. What is kept of each event grows with the age itself, and
 * that alone is the slope here.
 *
 * @param samples x is the age
 */
export function agedGrowthOf(samples: readonly Point[]): AgedGrowth {
  const lowest = lowestOf(samples)
  const ofDoublings = (y: (point: Point) => number) =>
    lowest.map((point) => ({ x: Math.log2(point.x), y: y(point) }))
  // What doublings explain neither of age nor of figure goes along the plane through all three.
  const ages = aboveLine(ofDoublings(({ x }) => x))
  const figures = aboveLine(ofDoublings(({ y }) => y))
  const { slope, error } = slopeOf(ages.map((x, at) => ({ x, y: figures[at] ?? Number.NaN })))
  const { slope: perDoubling } = slopeOf(ofDoublings(({ x, y }) => y - slope * x))
  const margin = T.ofPlane * error * Math.sqrt((BLOCKS - 2) / (BLOCKS - 3))
  return { ...growth(lowest, slope, margin), perDoubling }
}

function growth(lowest: readonly Point[], slope: number, margin: number): Growth {
  const [first, last] = [lowest.at(0)?.y ?? Number.NaN, lowest.at(-1)?.y ?? Number.NaN]
  return { slope, margin, first, last, grows: slope > margin }
}

function lowestOf(samples: readonly Point[]): Point[] {
  const [begin, end] = [samples.at(0)?.x ?? 0, samples.at(-1)?.x ?? 0]
  const width = (end - begin) / BLOCKS
  const lowest = Array.from({ length: BLOCKS }, (_, block) => {
    const [low, high] = [begin + block * width, begin + (block + 1) * width]
    const within = samples.filter(({ x }) => x >= low && x <= high)
    const least = Math.min(...within.map(({ y }) => y))
    return within.find(({ y }) => y === least)
  }).filter((found) => found !== undefined)
  if (lowest.length < BLOCKS || width === 0) {
    throw new Error(`${samples.length} samples are too few to tell`)
  }
  return lowest
}

/** How far each point is above its line. */
function aboveLine(points: readonly Point[]): number[] {
  const { slope } = slopeOf(points)
  const mean = (of: (point: Point) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length
  const [x0, y0] = [mean(({ x }) => x), mean(({ y }) => y)]
  return points.map(({ x, y }) => y - y0 - slope * (x - x0))
}
