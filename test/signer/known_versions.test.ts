import * as assert from 'uvu/assert'
import { hasEnded, type KnownVersion, keySetAt, MARGIN_MS } from '../../src/signer/key_set.ts'
import { compared } from '../../src/signer/known_versions.ts'
import { suite } from '../_lib/uvu.ts'

const HOUR = 3_600_000
const NOW = 1_000 * HOUR
const RULES = {
  sourceId: 'here',
  activationDelayMs: HOUR,
  maxTokenLifeMs: 24 * HOUR,
  distrusted: new Set<string>(),
  now: NOW,
}
const told = (label: string, hoursAgo: number, kid = `kid-${label}`) => ({
  label,
  createdAt: (NOW - hoursAgo * HOUR) / 1_000,
  kid,
})
const first = (versions: readonly ReturnType<typeof told>[], rules = RULES) =>
  compared<KnownVersion, ReturnType<typeof told>>([], versions, rules).known
const kids = (versions: readonly { readonly kid: string }[]) => versions.map(({ kid }) => kid)

const test = suite('signer/known_versions', () => ({}))

test('the same version with another key, or made at another time, is taken up in nothing', () => {
  const known = first([told('1', 50), told('2', 10)])
  const others = [told('2', 10, 'other'), told('2', 9)]
  for (const other of others) {
    const { replaced, known: kept } = compared(known, [told('1', 50), other, told('3', 5)], RULES)
    assert.equal(kids(replaced), ['kid-2'])
    assert.equal(kids(kept), ['kid-1', 'kid-2'], 'not even what is new beside it')
  }
})

test('a version that is gone too early stays published; once its tokens have ended it is forgotten', () => {
  const known = first([told('1', 50), told('2', 10)])
  const { gone, known: kept } = compared(known, [told('2', 10)], RULES)
  assert.equal(kids(gone), ['kid-1'])
  assert.equal(kids(keySetAt(kept, NOW, RULES).published), ['kid-2', 'kid-1'])

  const later = { ...RULES, now: NOW + 24 * HOUR + MARGIN_MS }
  const after = compared(kept, [told('2', 10)], later)
  assert.equal(kids(after.gone), [])
  assert.equal(kids(after.known), ['kid-2'])
})

test('no other version signs in the place of the one that is gone, until the operator says so', () => {
  const known = first([told('1', 50), told('2', 10)])
  const { known: kept } = compared(known, [told('1', 50)], RULES)
  const { signing } = keySetAt(kept, NOW, RULES)
  assert.is(signing?.kid, 'kid-2')
  assert.is(signing?.present, false)

  const decided = compared(kept, [told('1', 50)], { ...RULES, distrusted: new Set(['kid-2']) })
  const set = keySetAt(decided.known, NOW, RULES)
  assert.is(set.signing?.kid, 'kid-1')
  assert.is(set.signing?.supersededAt, undefined, 'its tokens live on')
  assert.equal(kids(set.published), ['kid-1'])
})

test('a distrusted key is published no more, and makes way for another one of its version', () => {
  const known = first([told('1', 50)])
  const distrusted = new Set(['kid-1'])
  const { replaced, known: kept } = compared(known, [told('1', 2, 'new')], { ...RULES, distrusted })
  assert.equal(kids(replaced), [])
  assert.equal(kids(keySetAt(kept, NOW, RULES).published), ['new'])
})

test('what was signed under a longer life or an earlier delay is not forgotten when the config changes', () => {
  const known = first([told('1', 50), told('2', 10)])
  const superseded = known[0]?.supersededAt
  assert.is(superseded, NOW - 9 * HOUR)
  const shorter = { ...RULES, maxTokenLifeMs: HOUR, activationDelayMs: HOUR / 2, now: NOW + HOUR }
  const { known: kept } = compared(known, [told('1', 50), told('2', 10)], shorter)
  assert.is(kept[0]?.supersededAt, superseded)
  assert.is(kept[0]?.longestLifeMs, 24 * HOUR)
  assert.is(kept[1]?.longestLifeMs, 24 * HOUR, 'API servers learn of it at their start alone')
  assert.not.ok(hasEnded(kept[0] as KnownVersion, NOW + 15 * HOUR))
  assert.ok(hasEnded(kept[0] as KnownVersion, NOW + 17 * HOUR))
})

test('the keys of the source of before are published until their tokens have ended', () => {
  const known = first([told('1', 50)])
  const moved = { ...RULES, sourceId: 'there' }
  const { known: both } = compared(known, [told('7', 5, 'moved')], moved)
  assert.equal(kids(keySetAt(both, NOW, moved).published), ['moved', 'kid-1'])
  const again = compared(both, [told('7', 5, 'moved')], { ...moved, now: NOW + 20 * HOUR })
  assert.is(
    again.known.find(({ kid }) => kid === 'kid-1')?.supersededAt,
    NOW,
    'not later each time',
  )
  const end = NOW + 24 * HOUR + MARGIN_MS + 1
  const { known: last } = compared(again.known, [told('7', 5, 'moved')], { ...moved, now: end })
  assert.equal(kids(last), ['moved'])

  const back = compared(both, [told('1', 50)], { ...RULES, now: NOW + HOUR })
  assert.is(keySetAt(back.known, NOW + HOUR, RULES).signing?.kid, 'kid-1')
})

test('a version that the service lets sign no more makes way at once', () => {
  const barred = { ...told('1', 50), maySign: false }
  const { known } = compared<KnownVersion, typeof barred>(
    [],
    [barred, { ...told('2', 0), maySign: true }],
    RULES,
  )
  const { signing, published } = keySetAt(known, NOW, RULES)
  assert.is(signing?.kid, 'kid-2')
  assert.equal(kids(published), ['kid-2', 'kid-1'])
})

test('one key in two sources is published once', () => {
  const known = first([told('1', 50, 'same')])
  const moved = { ...RULES, sourceId: 'there' }
  const { known: both } = compared(known, [told('4', 50, 'same')], moved)
  assert.equal(kids(keySetAt(both, NOW, moved).published), ['same'])
})

test.run()
