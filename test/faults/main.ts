/**
 * `npm run test:faults`: faults in every layer, put into a copy of the sources one at a time, and
 * the test that finds each. `-- LAYER …` takes some of the layers.
 *
 * @module
 */

import process from 'node:process'
import { ROOMS } from '../../build/layers.ts'
import type { Fault } from './fault.ts'
import { FAULTS } from './faults.ts'
import { seeded } from './seeding.ts'

const wanted = process.argv.slice(2)
const layerOf = ({ file }: Fault) => file.slice(0, file.search(/[/.]/))
const rank = (fault: Fault) => Object.keys(ROOMS).indexOf(layerOf(fault))
const faults = FAULTS.filter(
  (fault) => wanted.length === 0 || wanted.includes(layerOf(fault)),
).toSorted((a, b) => rank(a) - rank(b))

let unseen = 0
for await (const { fault, void: why, found } of seeded(faults)) {
  if (!found) unseen += 1
  const result = why ?? (found ? `found by ${fault.by}` : `NOT FOUND by ${fault.by}`)
  process.stdout.write(`${layerOf(fault).padEnd(9)} ${fault.title.padEnd(70)} ${result}\n`)
}
process.stdout.write(`${faults.length} faults, ${unseen} not found\n`)
process.exitCode = unseen === 0 && faults.length > 0 ? 0 : 1
