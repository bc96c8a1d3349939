/** Which providers wrap: what holds after every observation, in histories of providers that come and go. @module */

import * as fc from 'fast-check'
import * as assert from 'uvu/assert'
import {
  chooseWriters,
  type Writer,
  type WriterRules,
  type WriterSet,
} from '../../src/kms/writers.ts'
import { holds } from '../_lib/properties.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('properties/writers', () => ({}))

const HOLD_MS = 60_000
const RETURN_MS = 600_000

interface Change {
  readonly id: number
  readonly kind: 'well' | 'away' | 'lost' | 'leaves' | 'nothing'
  /** Time that passes before it. */
  readonly ms: number
}

const change: fc.Arbitrary<Change> = fc.record({
  id: fc.nat(3),
  kind: fc.constantFrom('well', 'away', 'lost', 'leaves', 'nothing'),
  ms: fc.constantFrom(0, 1, 30_000, HOLD_MS, RETURN_MS),
})

interface Known {
  readonly id: string
  asked: boolean
  ok: boolean
  lost: boolean
  mustLeave: boolean
  since: number
}

function apply(each: Known, { kind }: Change, now: number): void {
  if (kind === 'nothing') return
  if (kind === 'leaves') {
    each.mustLeave = each.ok
    return
  }
  const ok = kind === 'well'
  if (ok !== each.ok) each.since = now
  Object.assign(each, { asked: true, ok, lost: kind === 'lost', mustLeave: false })
}

test('in every history a set is whole, large enough, and changes only for a reason', async () => {
  await holds(
    1_000,
    fc.property(
      fc.integer({ min: 1, max: 4 }),
      fc.nat(),
      fc.array(change, { maxLength: 24 }),
      (count, least, history) => {
        const rules: WriterRules = {
          minimum: 1 + (least % count),
          holdMs: HOLD_MS,
          returnMs: RETURN_MS,
        }
        const known = Array.from(
          { length: count },
          (_, at): Known => ({
            id: `p${at}`,
            asked: false,
            ok: false,
            lost: false,
            mustLeave: false,
            since: 0,
          }),
        )
        let now = 0
        let set: WriterSet = { active: undefined, out: new Set() }
        let absentSince = 0
        for (const each of history) {
          now += each.ms
          const changed = known[each.id % count]
          if (changed !== undefined) apply(changed, each, now)
          const writers: Writer[] = known.map(({ since, ...rest }) => ({
            ...rest,
            forMs: now - since,
          }))
          const before = set
          const choice = chooseWriters(writers, before, now - absentSince, rules)
          check(writers, before, choice, rules)
          if (choice.active === undefined && before.active !== undefined) absentSince = now
          set = { active: choice.active, out: choice.out }
        }
      },
    ),
  )
})

type Choice = ReturnType<typeof chooseWriters>

function check(
  writers: readonly Writer[],
  before: WriterSet,
  choice: Choice,
  rules: WriterRules,
): void {
  checkVerdict(writers, before, choice, rules)
  if (before.active === undefined || choice.active === undefined) return
  const ids = new Map(writers.map((writer) => [writer.id, writer]))
  const left = [...before.active].filter((id) => choice.active?.has(id) !== true && ids.has(id))
  for (const id of left) assert.not.ok(ids.get(id)?.ok, 'nobody who is well is left out')
  if (left.length > 0) assert.ok(isUrgent(writers, before, rules), 'nobody before its time')
  for (const id of choice.active) {
    if (before.active.has(id) || !before.out.has(id)) continue
    const others = writers.filter((each) => each.ok && !before.out.has(each.id)).length
    const forLong = (ids.get(id)?.forMs ?? 0) >= rules.returnMs
    assert.ok(forLong || others < rules.minimum, 'who comes back was well for long')
  }
}

function checkVerdict(
  writers: readonly Writer[],
  before: WriterSet,
  { verdict, active, out, againInMs }: Choice,
  { minimum }: WriterRules,
): void {
  if (againInMs !== undefined) assert.ok(againInMs >= 0, 'it looks again, and not in the past')
  if (verdict === 'waiting') {
    assert.equal([...(active ?? [])], [...(before.active ?? [])], 'a hold changes nothing')
  }
  assert.is(active === undefined, verdict === 'lost' || verdict === 'starting')
  if (verdict !== 'settled' || active === undefined) return
  assert.ok(active.size >= minimum)
  const well = writers.filter(({ ok }) => ok).map(({ id }) => id)
  for (const id of active) assert.ok(well.includes(id), 'who wraps is well')
  for (const id of out) assert.not.ok(active.has(id), 'in or out')
}

/** Whether one of those that wrapped had to go now. */
function isUrgent(writers: readonly Writer[], { active }: WriterSet, { holdMs }: WriterRules) {
  return writers.some(
    ({ id, ok, lost, forMs, mustLeave }) =>
      active?.has(id) === true && (lost || (ok ? mustLeave : forMs >= holdMs)),
  )
}

test.run()
