import * as assert from 'uvu/assert'
import { retryAfterMs } from '../../../src/base/attempts/retry_after.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('base/attempts/retry_after', () => ({}))

const WAITS: readonly (readonly [header: string | undefined, ms: number | undefined])[] = [
  ['0', 0],
  ['1', 1_000],
  ['120', 120_000],
  ['999999', 999_999_000],
  [undefined, undefined],
  // What `Number` would take for a time to wait.
  ['', undefined],
  [' ', undefined],
  ['-1', undefined],
  ['1.5', undefined],
  ['1e3', undefined],
  ['0x10', undefined],
  ['Infinity', undefined],
  ['1000000', undefined],
  ['soon', undefined],
  ['Sun, 29 Nov 2026 17:00:00 GMT', undefined],
]

for (const [header, ms] of WAITS) {
  test(`retryAfterMs() of ${JSON.stringify(header)} is ${ms}`, () => {
    assert.is(retryAfterMs(header), ms)
  })
}

test.run()
