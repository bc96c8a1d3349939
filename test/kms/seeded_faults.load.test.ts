/**
 * Puts faults into the keyring one at a time, and checks that some test fails for each. This shows
 * that the tests can fail. `npm run test:faults` does it with all layers.
 *
 * @module
 */

import * as assert from 'uvu/assert'
import { suite } from '../_lib/uvu.ts'
import { KMS_FAULTS } from '../faults/kms.ts'
import { seeded } from '../faults/seeding.ts'

const test = suite('kms/seeded faults', () => ({}))

test('every fault is found, and without one all is well', async () => {
  const unseen: string[] = []
  for await (const { fault, void: why, found } of seeded(KMS_FAULTS)) {
    assert.is(why, undefined, fault.title)
    if (!found) unseen.push(fault.title)
  }

  assert.equal(unseen, [])
})

test.run()
