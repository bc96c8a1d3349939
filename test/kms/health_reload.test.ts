/** What a changed config takes over from the one before, and when it cannot answer yet. @module */

import * as assert from 'uvu/assert'
import { KmsError } from '../../src/base/errors.ts'
import type { Protection } from '../../src/kms/health_view.ts'
import type { SavedState, StateStore } from '../../src/kms/state.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { FakeClock } from '../_lib/fake_clock.ts'
import { FakeProvider } from '../_lib/kms/fake_provider.ts'
import {
  ANY_PROTECTION,
  VirtualEndpoint,
  type VirtualEndpointOptions,
} from '../_lib/kms/virtual_endpoint.ts'
import { suite } from '../_lib/uvu.ts'

const TWO_OF: Protection = { ...ANY_PROTECTION, scheme: 'threshold', k: 2, minimum: 2 }
const READ_ONLY = { decryptOnly: true }

const test = suite('kms/health_reload', () => {
  const clock = new FakeClock()
  const store = memoryStore()
  const [a, b, c] = ['a', 'b', 'c'].map(
    (id) => new FakeProvider(id, clock.now() / 1000 - 86_400),
  ) as [FakeProvider, FakeProvider, FakeProvider]
  const make = (options: Omit<VirtualEndpointOptions, 'clock' | 'events' | 'store'>) =>
    new VirtualEndpoint({ clock, events: new RecordedEvents(), store, ...options })
  /** As after a change of the config: it knows what the one before left, and what its providers say. */
  const changed = async (options: Omit<VirtualEndpointOptions, 'clock' | 'events' | 'store'>) => {
    const endpoint = make(options)
    await endpoint.book.load()
    await endpoint.probe()
    return endpoint
  }
  return { clock, a, b, c, make, changed }
})

function memoryStore(): StateStore {
  let saved: SavedState | undefined
  return {
    load: () => Promise.resolve(saved),
    save: (state) => {
      saved = state
      return Promise.resolve()
    },
  }
}

test('canServe() is true where the providers of before still write, also while one is away', async ({
  a,
  b,
  make,
  changed,
}) => {
  await make({ providers: [a, b] }).start()
  a.failure = new KmsError('Gone', { code: 'unavailable' })

  const next = await changed({ providers: [a, b], keyring: { decryptPreference: 'roundrobin' } })

  assert.ok(next.health.canServe())
})

test('canServe() is false where the only one that wrote may not write any more, and the others are away', async ({
  a,
  b,
  make,
  changed,
}) => {
  await make({ providers: [a] }).start()
  b.failure = new KmsError('Gone', { code: 'unavailable' })

  const next = await changed({ providers: [a, b], monitorOf: { a: READ_ONLY } })

  assert.not.ok(next.health.canServe())
  next.health.start()
  assert.throws(() => next.keyring.status(), /Not ready yet/)
})

test('canServe() is true where a new provider is away, which then is left out', async ({
  a,
  b,
  make,
  changed,
}) => {
  const first = make({ providers: [a] })
  await first.start()
  b.failure = new KmsError('Gone', { code: 'unavailable' })

  const next = await changed({ providers: [a, b] })

  assert.ok(next.health.canServe())
  next.health.start()
  assert.is(next.keyring.status(), first.keyring.status())
})

test('canServe() is false where another protection would have to wait for one that just went away, and true once that has been away for the hold', async ({
  clock,
  a,
  b,
  c,
  make,
  changed,
}) => {
  await make({ providers: [a, b, c] }).start()
  c.failure = new KmsError('Gone', { code: 'unavailable' })
  const next = await changed({ providers: [a, b, c], health: { protection: TWO_OF } })

  assert.not.ok(next.health.canServe())
  await clock.advance(TWO_OF.holdMs)

  assert.ok(next.health.canServe())
  next.health.start()
  assert.match(next.keyring.status(), /^tr1-2of2-/)
})

test.run()
