/**
 * A few of the histories that `npm run test:chaos` runs, always the same ones, and each that once
 * failed. `test/chaos/main.ts` says how to run more of them, and one of them again.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import process from 'node:process'
import * as assert from 'uvu/assert'
import { SeededRandom } from '../_lib/seeded_random.ts'
import { suite } from '../_lib/uvu.ts'
import { campaign } from './campaign.ts'
import { Oracle } from './oracle.ts'
import { planOf } from './plan.ts'
import { shrink } from './shrink.ts'
import type { History } from './steps.ts'

const HISTORIES = 30
const SEED = 20_261_130

const test = suite('chaos', () => ({}))

test(`${HISTORIES} histories under faults, and each that once failed: nothing wrong, lost or leaked, and all is well after the last fault [R1 R2 E3 D1]`, async () => {
  const { figures, failures, faults } = await campaign({ histories: HISTORIES, seed: SEED })

  for (const line of figures.lines()) process.stdout.write(`${line}\n`)
  assert.equal(failures, [])
  assert.equal(faults, [])
  assert.ok(figures.histories >= HISTORIES)
})

test('a seed makes the same history again, and every kind of step comes', () => {
  const random = new SeededRandom(1)
  const kinds = new Set<string>()
  for (let turn = 0; turn < 300; turn += 1) {
    const seed = random.below(2 ** 32)
    const history = planOf(seed, 'process')
    assert.equal(planOf(seed, 'process'), history)
    for (const step of history.steps) kinds.add(step.do)
  }
  assert.is(kinds.size, 17)
})

test('a failing history shrinks to the steps that make it fail', async () => {
  const history = planOf(1, 'here')
  const wanted = new Set([history.steps[3], history.steps.at(-2)])
  const breaks = ({ steps }: History) =>
    Promise.resolve([...wanted].every((step) => step && steps.includes(step)) ? 'rule' : undefined)

  const { steps } = await shrink(history, 'rule', breaks)

  assert.equal(new Set(steps), wanted)
  assert.is(steps.length, 2)
})

for (const [spelling, spelt] of [
  ['as it is', (bytes: Buffer) => bytes.toString('latin1')],
  ['in hex', (bytes: Buffer) => bytes.toString('hex')],
  ['in base64', (bytes: Buffer) => `x ${bytes.toString('base64')}`],
  ['as inspected bytes', (bytes: Buffer) => String(bytes.toString('hex').match(/../g)?.join(' '))],
  ['as numbers', (bytes: Buffer) => [...bytes].join(',')],
] as const) {
  test(`the oracle finds a token in a log ${spelling}`, () => {
    const token = 's.planted-token-0123456789'
    const oracle = new Oracle()
    oracle.read(`{"message":"${spelt(Buffer.from(token))}"}`, [token])
    assert.equal(
      oracle.violations.map(({ rule }) => rule),
      ['secret in output'],
    )
  })
}

test.run()
