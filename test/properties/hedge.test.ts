/** Asking several providers: the answers are those of enough that could, whatever the others do. @module */

import { Buffer } from 'node:buffer'
import * as fc from 'fast-check'
import * as assert from 'uvu/assert'
import { KmsError } from '../../src/base/errors.ts'
import { hedge } from '../../src/kms/hedge.ts'
import { FakeClock } from '../_lib/fake_clock.ts'
import { holds } from '../_lib/properties.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('properties/hedge', () => ({}))

const candidate = fc.record({
  ms: fc.integer({ min: 0, max: 60 }),
  /** `hangs` never settles, even when it is given up. */
  outcome: fc.constantFrom('answers', 'answers', 'fails', 'hangs'),
  hedgeAfterMs: fc.integer({ min: 1, max: 40 }),
})
const LIMIT_MS = 5_000

test('it succeeds exactly where enough can answer, with their answers, and asks nobody twice', async () => {
  await holds(
    300,
    fc.asyncProperty(
      fc.array(candidate, { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 4 }),
      async (all, need) => {
        const clock = new FakeClock({ quick: true })
        const asked: number[] = []
        const controller = new AbortController()
        const candidates = all.map(({ ms, outcome, hedgeAfterMs }, at) => ({
          name: `p${at}`,
          hedgeAfterMs,
          run: () =>
            new Promise<Uint8Array>((resolve, reject) => {
              asked.push(at)
              if (outcome === 'hangs') return
              clock.after(ms, () => {
                if (outcome === 'answers') resolve(Buffer.from([at]))
                else reject(new KmsError('Seeded', { code: 'unavailable' }))
              })
            }),
        }))
        clock.after(LIMIT_MS, () => controller.abort(new KmsError('Late', { code: 'timeout' })))
        const call = { signal: controller.signal, deadline: LIMIT_MS }
        const done = hedge(candidates, need, { clock }, call).then(
          (answers) => answers.map((answer) => Number(answer[0])),
          (error: unknown) => error,
        )
        // A lone candidate is asked under the caller's own signal, which this one may ignore.
        const alone = all.length === 1 && need === 1 && all[0]?.outcome === 'hangs'
        let endedAt = LIMIT_MS
        void done.then(() => {
          endedAt = clock.monotonic()
        })
        await clock.advance(LIMIT_MS)
        if (alone) return
        const result = await done
        // A failure makes it ask the next at once, so the worst is one after the other.
        const hangs = all.some(({ outcome }) => outcome === 'hangs')
        if (!hangs) assert.ok(endedAt <= all.reduce((sum, { ms }) => sum + ms, 0))
        assert.is(new Set(asked).size, asked.length)
        const able = all.flatMap(({ outcome }, at) => (outcome === 'answers' ? at : []))
        if (!Array.isArray(result)) {
          assert.instance(result, KmsError)
          assert.ok(able.length < need)
          return
        }
        assert.is(result.length, need)
        assert.is(new Set(result).size, need)
        for (const at of result) assert.ok(able.includes(at))
      },
    ),
  )
})

test.run()
