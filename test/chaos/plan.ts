/** Makes the history of a seed. @module */

import { SeededRandom } from '../_lib/seeded_random.ts'
import {
  ANSWER_FAULTS,
  FILE_FAULTS,
  type FileFault,
  type History,
  PROCESS_FAULTS,
  SERVICES,
  type Step,
  TLS_FAULTS,
  VARIANTS,
  WIRE_FAULTS,
} from './steps.ts'

const HOUR_MS = 3_600_000
const CHANCES = [20, 50, 100] as const
const LEAST_STEPS = 15
const MORE_STEPS = 25
/** So many of a hundred histories have three providers. */
const SPREAD = 40
const TLS = 30

type Shape = Pick<History, 'kind' | 'world' | 'tls'>

export function planOf(seed: number, kind: History['kind']): History {
  const random = new SeededRandom(seed)
  const world = random.below(100) < SPREAD ? 'spread' : 'one'
  const tls = random.below(100) < TLS
  const variant = world === 'one' ? 'single' : random.pick(VARIANTS)
  const activationDelayMs = random.pick([0, 0, 2_000])
  const count = LEAST_STEPS + random.below(MORE_STEPS)
  const shape = { kind, world, tls } as const
  // Something is always there to open later.
  const first: Step = { do: 'encrypt', api: 'v2', count: 2 }
  const steps = Array.from({ length: count }, () => stepOf(random, shape))
  return { seed, ...shape, variant, activationDelayMs, steps: [first, ...steps] }
}

type Maker = (random: SeededRandom, shape: Shape) => Step

/** How often of a hundred, and what. */
const STEPS: readonly (readonly [weight: number, make: Maker])[] = [
  [
    20,
    (random) => ({
      do: 'encrypt',
      api: random.pick(['v1', 'v2', 'v2']),
      count: 1 + random.below(8),
    }),
  ],
  [18, (random) => ({ do: 'decrypt', count: 1 + random.below(8), pick: random.below(1_000) })],
  [4, () => ({ do: 'status' })],
  [8, () => ({ do: 'agree' })],
  [14, (random) => ({ do: 'pause', ms: 50 + random.below(1_200) })],
  [6, (random, { world }) => ({ do: 'rotate', on: serviceOf(random, world) })],
  [2, () => ({ do: 'revoke' })],
  [
    3,
    (random, { world }) => ({
      do: 'reload',
      variant: world === 'one' ? 'single' : random.pick(VARIANTS),
      signal: random.below(2) === 0,
    }),
  ],
  [2, () => ({ do: 'restart' })],
  [3, (random) => ({ do: 'clock', jumpMs: random.pick([-HOUR_MS, -5_000, 5_000, HOUR_MS]) })],
  [10, wireFault],
  [
    9,
    (random, { world }) => ({
      do: 'answer',
      fault: random.pick(ANSWER_FAULTS),
      ...onTheWay(random, world),
    }),
  ],
  [14, (random, { world }) => ({ do: 'heal', on: serviceOf(random, world) })],
  [
    4,
    (random, { tls }) => ({
      do: 'file',
      fault: random.pick(FILE_FAULTS.filter((fault) => tls || !ofTls(fault))),
    }),
  ],
  [5, () => ({ do: 'mend', fault: 'files' })],
]
const PROCESS_WEIGHT = 12
const TOTAL = STEPS.reduce((sum, [weight]) => sum + weight, 0)

function stepOf(random: SeededRandom, shape: Shape): Step {
  if (shape.kind === 'process' && random.below(100) < PROCESS_WEIGHT) {
    return { do: 'process', fault: random.pick(PROCESS_FAULTS), ms: 100 + random.below(1_500) }
  }
  let at = random.below(TOTAL)
  for (const [weight, make] of STEPS) {
    if (at < weight) return make(random, shape)
    at -= weight
  }
  throw new Error('No step has this weight')
}

function wireFault(random: SeededRandom, { world, tls }: Shape): Step {
  const way = onTheWay(random, world)
  if (tls && random.below(3) === 0) return { do: 'tls', fault: random.pick(TLS_FAULTS), ...way }
  return { do: 'wire', fault: random.pick(WIRE_FAULTS), ...way }
}

function onTheWay(random: SeededRandom, world: History['world']) {
  const chance = random.pick(CHANCES)
  return { on: serviceOf(random, world), chance, seed: random.below(2 ** 32) }
}

function serviceOf(random: SeededRandom, world: History['world']) {
  return world === 'one' ? 'one' : random.pick(SERVICES)
}

function ofTls(fault: FileFault): boolean {
  return fault === 'authority half written'
}
