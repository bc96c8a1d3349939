/** Batches: each caller gets its own item's result, in histories of calls, failures and callers who give up. @module */

import * as fc from 'fast-check'
import * as assert from 'uvu/assert'
import { Coalescer } from '../../src/base/coalescer.ts'
import { KmsError } from '../../src/base/errors.ts'
import { FakeClock } from '../_lib/fake_clock.ts'
import { holds } from '../_lib/properties.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('properties/coalescer', () => ({}))

const LIMIT_MS = 60_000
/** No more are under way, however many hang. */
const MAX_IN_FLIGHT = 8

const request = fc.record({
  /** Few, so that equal ones meet. */
  item: fc.oneof(fc.nat(5), fc.nat(1_000)),
  /** After the one before it. */
  afterMs: fc.constantFrom(0, 0, 0, 1, 5, 40, 300),
  /** Undefined where it waits until its deadline. */
  giveUpMs: fc.option(fc.integer({ min: 0, max: 50 }), { nil: undefined }),
})
const service = fc.record({
  ms: fc.constantFrom(0, 1, 10, 60, 1_000),
  /** `bad` refuses its first item alone. */
  outcome: fc.constantFrom('well', 'well', 'well', 'bad', 'fails', 'hangs'),
})

test('each settles as its own item did, and no batch is too long, holds an item twice or is one too many', async () => {
  await holds(
    400,
    fc.asyncProperty(
      fc.array(request, { minLength: 1, maxLength: 40, size: 'max' }),
      fc.oneof(
        fc.array(service, { minLength: 1, maxLength: 6 }),
        fc.array(
          service.map((each) => ({ ...each, outcome: 'well' })),
          { minLength: 1, maxLength: 3 },
        ),
        fc.constant([{ ms: 0, outcome: 'hangs' }]),
      ),
      fc.constantFrom(1, 2, 4),
      async (requests, services, maxItems) => {
        const clock = new FakeClock({ quick: true })
        let underWay = 0
        let sent = 0
        const coalescer = new Coalescer<number, string>({
          clock,
          maxItems,
          nameOf: String,
          run: async (items, call) => {
            const { ms, outcome } = services[sent % services.length] ?? { ms: 0, outcome: 'well' }
            sent += 1
            underWay += 1
            assert.ok(items.length >= 1 && items.length <= maxItems)
            assert.is(new Set(items).size, items.length)
            if (maxItems > 1) assert.ok(underWay <= MAX_IN_FLIGHT)
            try {
              await new Promise<void>((resolve, reject) => {
                call.signal.addEventListener('abort', () => reject(call.signal.reason))
                if (outcome === 'hangs') return
                const failure = new KmsError('Seeded', { code: 'unavailable' })
                clock.after(ms, () => (outcome === 'fails' ? reject(failure) : resolve()))
              })
            } finally {
              underWay -= 1
            }
            const error = new KmsError('Bad', { code: 'ciphertext_invalid' })
            return items.map((item, at) =>
              outcome === 'bad' && at === 0
                ? ({ ok: false, error } as const)
                : ({ ok: true, value: `<${item}>` } as const),
            )
          },
        })
        const wellAlways = services.every(({ outcome }) => outcome === 'well')
        const settled: Promise<void>[] = []
        for (const { item, afterMs, giveUpMs } of requests) {
          await clock.advance(afterMs)
          const controller = new AbortController()
          const reason = new KmsError('Gave up', { code: 'cancelled' })
          clock.after(giveUpMs ?? LIMIT_MS, () => controller.abort(reason))
          const call = { signal: controller.signal, deadline: clock.monotonic() + LIMIT_MS }
          settled.push(
            coalescer.submit(item, call).then(
              (value) => assert.is(value, `<${item}>`),
              (error: unknown) => {
                assert.instance(error, KmsError)
                assert.ok(
                  !wellAlways || (error === reason && giveUpMs !== undefined),
                  'nobody failed',
                )
              },
            ),
          )
        }
        await clock.advance(LIMIT_MS)
        await Promise.all(settled)
        assert.is(underWay, 0, 'nothing is left under way')
      },
    ),
  )
})

test.run()
