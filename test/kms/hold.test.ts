import * as assert from 'uvu/assert'
import { KmsError } from '../../src/base/errors.ts'
import { type HealthView, startingView } from '../../src/kms/health_view.ts'
import { holdLeftMs, holds, problemOf, refusalOf } from '../../src/kms/hold.ts'
import { ANY_PROTECTION } from '../_lib/kms/virtual_endpoint.ts'
import { suite } from '../_lib/uvu.ts'

const LIMITS = { staleAfterMs: 90_000, outageHoldMs: 900_000 }
const { holdMs } = ANY_PROTECTION
const GONE = new KmsError('Gone', { code: 'timeout' })

const test = suite('kms/hold', () => ({}))

const view = (state: HealthView['state'], more: Partial<HealthView> = {}): HealthView => ({
  ...startingView(0),
  state,
  lastSuccess: 0,
  ...more,
})

interface Case {
  readonly title: string
  readonly view: HealthView
  readonly outageHoldMs?: number
  /** The last millisecond in which the key id is answered. */
  readonly until: number
}

const CASES: readonly Case[] = [
  {
    title: 'a good view until it is stale, and as long as an outage after that',
    view: view('ok'),
    until: 990_000,
  },
  { title: 'a degraded one too', view: view('degraded'), until: 990_000 },
  { title: 'a held one as long as an outage', view: view('held'), until: 900_000 },
  {
    title: 'a good one without a hold until it is stale',
    view: view('ok'),
    outageHoldMs: 0,
    until: 90_000,
  },
  { title: 'a held one without a hold not at all', view: view('held'), outageHoldMs: 0, until: 0 },
  {
    title: 'one without a hold where the others suffice until they have taken over',
    view: view('held', { othersSuffice: true }),
    outageHoldMs: 0,
    until: holdMs + 90_000,
  },
]

for (const { title, view: given, outageHoldMs = LIMITS.outageHoldMs, until } of CASES) {
  test(`holds(): ${title}`, () => {
    const limits = { ...LIMITS, outageHoldMs }
    const at = (now: number) => holds(given, limits, ANY_PROTECTION, now)

    assert.equal([at(until), at(until + 1)], [true, false])
  })
}

test('holds() nothing that never was', () => {
  const never = view('held', { lastSuccess: undefined })
  assert.not(holds(never, LIMITS, ANY_PROTECTION, 0))
})

test('holdLeftMs() counts down for a held view alone', () => {
  const left = (state: HealthView['state'], now: number) => holdLeftMs(view(state), LIMITS, now)

  assert.equal([left('held', 1), left('held', 900_001)], [899_999, 0])
  assert.equal([left('ok', 1), left('degraded', 1), left('failed', 1)], Array(3).fill(undefined))
})

test('problemOf() has none for a good view until it is stale', () => {
  const said = (given: HealthView, now: number) => problemOf(given, LIMITS, now)

  assert.equal([said(view('ok'), 90_000), said(view('degraded'), 90_000)], [undefined, undefined])
  assert.is(said(view('ok'), 90_001), 'Health loop is late')
  assert.is(said(view('degraded', { error: GONE }), 90_001), 'Gone')
  assert.is(said(view('held', { error: GONE }), 0), 'Gone')
  assert.is(said(startingView(0), 0), 'No answer of a key service yet')
})

test('refusalOf() gives the reason, and the failure itself where the key is lost [S6]', () => {
  const denied = new KmsError('Denied', { code: 'denied' })
  const said = (given: HealthView) => {
    const { code, message } = refusalOf(given)
    return `${code}: ${message}`
  }

  assert.is(said(startingView(0)), 'unavailable: Not ready yet: No answer of a key service yet')
  assert.is(
    said(view('held', { error: GONE })),
    'unavailable: Key service has been away too long: Gone',
  )
  assert.is(refusalOf(view('failed', { error: denied })), denied)
})

test.run()
