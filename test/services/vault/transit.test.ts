/** Which answers to a batch are read at all. @module */

import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { batchAnswer } from '../../../src/services/vault/transit.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('services/vault/transit', () => ({}))

const answer = (...batch_results: unknown[]) => ({ data: { batch_results } })

test('batchAnswer takes results with any of their fields, and others beside', () => {
  for (const good of [
    answer(),
    answer({}),
    answer({ ciphertext: 'a', plaintext: 'b', error: 'c', reference: 'd', key_version: 1 }),
    { ...answer({ plaintext: '' }), request_id: 1, warnings: null },
  ]) {
    const read = v.safeParse(batchAnswer, good)
    assert.ok(read.success, JSON.stringify(good))
    assert.equal(read.output, good)
  }
})

const BAD: readonly [unknown, string][] = [
  [null, '(root)'],
  ['data', '(root)'],
  [[], 'data'],
  [{ data: null }, 'data'],
  [{ data: 'batch_results' }, 'data'],
  [{ data: {} }, 'data.batch_results'],
  [{ data: { batch_results: { length: 0 } } }, 'data.batch_results'],
  [answer({}, null), 'data.batch_results.1'],
  [answer('text'), 'data.batch_results.0'],
  ...['ciphertext', 'plaintext', 'error', 'reference'].flatMap((field): [unknown, string][] => [
    [answer({}, { [field]: null }), `data.batch_results.1.${field}`],
    [answer({ [field]: 1 }), `data.batch_results.0.${field}`],
    [answer({ [field]: ['a'] }), `data.batch_results.0.${field}`],
  ]),
]
for (const [bad, place] of BAD) {
  test(`batchAnswer refuses ${JSON.stringify(bad)}, and says where`, () => {
    const { success, issues } = v.safeParse(batchAnswer, bad, { abortEarly: true })

    assert.is(success, false)
    assert.is((issues?.[0] && v.getDotPath(issues[0])) ?? '(root)', place)
  })
}

test.run()
