/** A batch that a service finds too large is cut: every item is sent once in the end, and its result stands at its place. @module */

import * as fc from 'fast-check'
import * as assert from 'uvu/assert'
import { VaultStatusError } from '../../src/services/vault/api.ts'
import { BatchSizes } from '../../src/services/vault/batches.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { holds } from '../_lib/properties.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('properties/batches', () => ({}))

function tooMuch(): VaultStatusError {
  const [status, text, address] = [413, '{"errors":[]}', 'http://127.0.0.1:8200']
  return new VaultStatusError('POST transit', {
    status,
    text,
    address,
    serviceTime: undefined,
    header: () => undefined,
    kept: false,
  })
}

test('whatever the limits of a service, results are those of the items, in their order', async () => {
  await holds(
    200,
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 400_000 }), { maxLength: 40 }),
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 400_000, max: 3_000_000 }),
      async (sizes, maxItems, maxCharacters) => {
        const sizesOf = new BatchSizes('p', new RecordedEvents())
        const items = sizes.map((length, at) => ({ at, text: 'x'.repeat(length) }))
        const served: number[] = []
        const work = (part: readonly object[]) => {
          const all = part as typeof items
          const characters = all.reduce((sum, { text }) => sum + text.length, 0)
          if (all.length > maxItems || characters > maxCharacters) {
            return Promise.reject(tooMuch())
          }
          served.push(...all.map(({ at }) => at))
          return Promise.resolve(all.map(({ at }) => at))
        }
        for (let round = 0; round < 2; round += 1) {
          served.length = 0
          assert.equal(
            await sizesOf.run(items, work),
            items.map(({ at }) => at),
          )
          assert.equal(
            served.toSorted((a, b) => a - b),
            items.map(({ at }) => at),
          )
        }
      },
    ),
  )
})

test.run()
