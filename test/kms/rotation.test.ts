import * as assert from 'uvu/assert'
import type { KeyState, KeyVersion } from '../../src/base/provider.ts'
import { activation, succession } from '../../src/kms/rotation.ts'
import { suite } from '../_lib/uvu.ts'

const NOW = 1_800_000_000_000
const DELAY = 300_000

const test = suite('kms/rotation', () => ({}))

function version(label: string, ageSeconds: number, change: Partial<KeyVersion> = {}): KeyVersion {
  return {
    label,
    createdAt: NOW / 1000 - ageSeconds,
    mayEncrypt: true,
    mayDecrypt: true,
    ...change,
  }
}

function chosen(...versions: KeyVersion[]) {
  const state: KeyState = { selectable: true, serviceTime: undefined, versions }
  const { active, pending, switchInMs } = activation(state, NOW, DELAY)
  return [active?.label, pending?.label, switchInMs]
}

test('activation() takes the newest version that is old enough', () => {
  assert.equal(chosen(version('1', 900), version('2', 300)), ['2', undefined, undefined])
})

test('activation() leaves a young version pending and says when it switches', () => {
  assert.equal(chosen(version('1', 900), version('2', 299)), ['1', '2', 1_000])
})

test('activation() takes the oldest usable version where none is old enough', () => {
  assert.equal(chosen(version('1', 20), version('2', 10)), ['1', '2', 290_000])
})

test('activation() leaves a disabled version at once', () => {
  const off = { mayEncrypt: false }

  assert.equal(chosen(version('1', 900), version('2', 600, off)), ['1', undefined, undefined])
  assert.equal(chosen(version('1', 900, off), version('2', 5)), ['2', undefined, undefined])
})

test('activation() skips a version that cannot decrypt', () => {
  const off = { mayDecrypt: false }

  assert.equal(chosen(version('1', 900), version('2', 600, off)), ['1', undefined, undefined])
})

test('activation() finds nothing where nothing is usable', () => {
  assert.equal(chosen(version('1', 900, { mayEncrypt: false })), [undefined, undefined, undefined])
  assert.equal(chosen(), [undefined, undefined, undefined])
})

test('activation() lets a version from the future wait', () => {
  assert.equal(chosen(version('1', 900), version('2', -86_400)), ['1', '2', DELAY])
})

const SEEN = [
  { label: '1', createdAt: 100 },
  { label: '2', createdAt: 200 },
]

/** As a provider calls a version when its service binds in another way. */
function otherwise({ label, createdAt }: { label: string; createdAt: number }) {
  return { label: `${label}.inside`, otherLabel: label, createdAt }
}

const CASES: readonly [string, typeof SEEN, string][] = [
  ['the same versions', SEEN, 'same'],
  ['a newer version', [...SEEN, { label: '3', createdAt: 300 }], 'newer'],
  ['a newer version of the same second', [...SEEN, { label: '3', createdAt: 200 }], 'newer'],
  ['old versions hidden', SEEN.slice(1), 'same'],
  ['the newest gone', SEEN.slice(0, 1), 'lagging'],
  ['none left', [], 'lagging'],
  ['the same versions under other labels', SEEN.map(otherwise), 'newer'],
  [
    'the newest gone, and the others under other labels',
    SEEN.slice(0, 1).map(otherwise),
    'lagging',
  ],
  ['another time under another label', [otherwise({ label: '1', createdAt: 500 })], 'recreated'],
  ['another time under a known label', [{ label: '1', createdAt: 500 }], 'recreated'],
]
for (const [what, next, expected] of CASES) {
  test(`succession() of ${what} is ${expected}`, () => {
    assert.is(succession(SEEN, next), expected)
  })
}

test('succession() of the older of two that were made in the same second is lagging', () => {
  const both = [
    { label: '1', createdAt: 200 },
    { label: '2', createdAt: 200 },
  ]

  assert.is(succession(both, both.slice(0, 1)), 'lagging')
  assert.is(succession(both, both.slice(0, 1).map(otherwise)), 'lagging')
})

test('succession() of anything after nothing is newer', () => {
  assert.is(succession([], SEEN), 'newer')
  assert.is(succession([], []), 'newer')
})

test.run()
