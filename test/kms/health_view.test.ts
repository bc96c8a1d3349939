import * as assert from 'uvu/assert'
import { KmsError, type KmsErrorCode } from '../../src/base/errors.ts'
import {
  type HealthView,
  type KeyIdRules,
  keysOf,
  nextView,
  type Observed,
  resumedView,
  startingView,
  writerSetOf,
  writersOf,
} from '../../src/kms/health_view.ts'
import type { ProbeResult } from '../../src/kms/probe.ts'
import { chooseWriters } from '../../src/kms/writers.ts'
import { ANY_PROTECTION } from '../_lib/kms/virtual_endpoint.ts'
import { suite } from '../_lib/uvu.ts'

const NOW = 5_000_000
const HOLD_MS = ANY_PROTECTION.holdMs
const RULES: KeyIdRules = { protection: ANY_PROTECTION, recipients: [] }
const SEALED: KeyIdRules = { ...RULES, recipients: ['a'.repeat(43)] }

const test = suite('kms/health_view', () => ({}))

const answer = (id: string, version: string, usable: readonly string[]): ProbeResult => ({
  member: { providerId: id, version, createdAt: 1 },
  seen: [],
  usable: new Set(usable),
  material: undefined,
  note: undefined,
  clockAheadMs: 0,
  pendingVersion: undefined,
  switchInMs: undefined,
})

const well = (id: string, version = '1', usable = ['1', '2']): Observed => ({
  id,
  observation: {
    ok: true,
    known: answer(id, version, usable),
    error: undefined,
    since: 0,
    lastSuccess: NOW,
    failures: 0,
  },
})

const unwell = (id: string, code: KmsErrorCode, forMs: number): Observed => ({
  id,
  observation: {
    ...well(id).observation,
    ok: false,
    error: new KmsError(`${id} ${code}`, { code }),
    since: NOW - forMs,
    lastSuccess: NOW - forMs,
    failures: 1,
  },
})

const unasked = (id: string): Observed => ({
  id,
  observation: {
    ok: false,
    known: undefined,
    error: undefined,
    since: NOW,
    lastSuccess: undefined,
    failures: 0,
  },
})

const away = (id: string, forMs = 1_000) => unwell(id, 'unavailable', forMs)
const denied = (id: string) => unwell(id, 'denied', 0)

/** The view after each round of observations, the choice made as the class makes it. */
function after(rounds: readonly (readonly Observed[])[], rules = RULES): HealthView {
  let view = startingView(0)
  for (const writing of rounds) {
    const choice = chooseWriters(
      writersOf(writing, view, NOW),
      writerSetOf(view),
      NOW - view.absentSince,
      rules.protection,
    )
    view = nextView(view, choice, writing, rules, NOW)
  }
  return view
}

/** Provider ids, which are single letters, with their versions. */
const said = (keys: HealthView['active']) =>
  keys?.inputs.members.map(({ providerId, version }) => `${providerId}${version}`).join(' ')

interface Case {
  readonly title: string
  readonly rounds: readonly (readonly Observed[])[]
  readonly minimum?: number
  readonly state: HealthView['state']
  readonly active?: string
  readonly v1?: string
  readonly error?: string
  readonly degraded?: boolean
}

const CASES: readonly Case[] = [
  {
    title: 'nothing is shown before each was asked',
    rounds: [[well('a'), unasked('b')]],
    state: 'starting',
  },
  {
    title: 'all that are well wrap, sorted by id',
    rounds: [[well('b'), well('a', '2')]],
    state: 'ok',
    active: 'a2 b1',
    v1: 'a2 b1',
  },
  {
    title: 'one that is away keeps the set, and v1beta1 goes on with the others at once',
    rounds: [
      [well('a'), well('b')],
      [well('a'), away('b')],
    ],
    state: 'held',
    active: 'a1 b1',
    v1: 'a1',
    error: 'b unavailable',
  },
  {
    title: 'while it is away a rotation of the other is not shown, but used under v1beta1',
    rounds: [
      [well('a'), well('b')],
      [well('a', '2'), away('b')],
    ],
    state: 'held',
    active: 'a1 b1',
    v1: 'a2',
    error: 'b unavailable',
  },
  {
    title: 'one that is away for the hold time is left out',
    rounds: [
      [well('a'), well('b')],
      [well('a'), away('b', HOLD_MS)],
    ],
    state: 'degraded',
    active: 'a1',
    v1: 'a1',
    error: 'b unavailable',
    degraded: true,
  },
  {
    title: 'one whose key is lost is left out at once, and is what the error names',
    rounds: [
      [well('a'), well('b'), well('c')],
      [well('a'), away('b', HOLD_MS), denied('c')],
    ],
    state: 'degraded',
    active: 'a1',
    v1: 'a1',
    error: 'c denied',
    degraded: true,
  },
  {
    title: 'a set that is full again is not degraded any more',
    rounds: [
      [well('a'), well('b')],
      [well('a'), away('b', HOLD_MS)],
      [well('a'), well('b')],
    ],
    state: 'ok',
    active: 'a1 b1',
    v1: 'a1 b1',
  },
  {
    title: 'fewer than the minimum are no set for v1beta1 either',
    rounds: [
      [well('a'), well('b')],
      [well('a'), away('b')],
    ],
    minimum: 2,
    state: 'held',
    active: 'a1 b1',
    error: 'b unavailable',
  },
  {
    title: 'the only key lost ends writing',
    rounds: [[well('a')], [denied('a')]],
    state: 'failed',
    error: 'a denied',
  },
  {
    title: 'a key that failed stays failed for its own reason while it is away',
    rounds: [[well('a')], [denied('a')], [away('a')]],
    state: 'failed',
    error: 'a denied',
  },
  {
    title: 'a key that failed is back with its first good answer',
    rounds: [[well('a')], [denied('a')], [well('a')]],
    state: 'ok',
    active: 'a1',
    v1: 'a1',
  },
  {
    title: 'a new version is shown as soon as it is the one that encrypts',
    rounds: [[well('a')], [well('a', '2')]],
    state: 'ok',
    active: 'a2',
    v1: 'a2',
  },
  {
    title: 'a version that may no longer encrypt is left though one is away',
    rounds: [
      [well('a'), well('b')],
      [well('a', '2', ['2']), away('b')],
    ],
    state: 'degraded',
    active: 'a2',
    v1: 'a2',
    error: 'b unavailable',
    degraded: true,
  },
]

for (const { title, rounds, minimum = 1, ...wanted } of CASES) {
  test(`nextView(): ${title}`, () => {
    const protection = { ...ANY_PROTECTION, minimum }
    const view = after(rounds, { ...RULES, protection })

    assert.equal(
      [view.state, said(view.active), said(view.v1), view.error?.message, view.degradedSince],
      [
        wanted.state,
        wanted.active,
        wanted.v1,
        wanted.error,
        wanted.degraded === true ? NOW : undefined,
      ],
    )
  })
}

test('the key id is the same again for the same set, and another one for another version [S9]', () => {
  const first = after([[well('a'), well('b')]])
  const later = after([
    [well('a'), well('b')],
    [well('a'), away('b')],
    [well('a'), well('b')],
  ])
  const rotated = after([[well('a')], [well('a', '2')]])

  assert.is(later.active?.keyId, first.active?.keyId)
  assert.is.not(rotated.active?.keyId, after([[well('a')]]).active?.keyId)
})

test('nextView() hands on the very keys of before, and with them what is derived from them', () => {
  const before = after([[well('a')]])
  const choice = { ...writerSetOf(before), verdict: 'settled', othersSuffice: true } as const
  const view = nextView(before, { ...choice, againInMs: undefined }, [well('a')], RULES, NOW)

  assert.is(view.active, before.active)
})

test('nextView() counts from now on once there is no set any more', () => {
  assert.is(after([[well('a')]]).absentSince, 0)
  assert.is(after([[well('a')], [denied('a')]]).absentSince, NOW)
})

test('recipients are in the key id of v2, and in that of v1beta1 never', () => {
  const view = after([[well('a')]], SEALED)

  assert.is(view.active?.keyId, keysOf(view.active?.inputs.members ?? [], SEALED).keyId)
  assert.is(view.v1?.keyId, keysOf(view.active?.inputs.members ?? [], RULES).keyId)
  assert.is.not(view.v1?.keyId, view.active?.keyId)
})

test('resumedView() holds what was answered before, degraded where somebody was left out', () => {
  const members = [{ providerId: 'a', version: '1', createdAt: 1 }]
  const keys = keysOf(members, RULES)
  const full = resumedView(startingView(0), keys, new Set(), NOW)
  const degraded = resumedView(startingView(0), keys, new Set('b'), NOW)

  assert.equal([full.state, full.active, full.lastSuccess], ['held', keys, NOW])
  assert.equal([full.degradedSince, degraded.degradedSince], [undefined, NOW])
  assert.equal(writerSetOf(degraded), { active: new Set('a'), out: new Set('b') })
})

test.run()
