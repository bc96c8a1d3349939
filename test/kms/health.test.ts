import * as assert from 'uvu/assert'
import { KmsError, type KmsErrorCode } from '../../src/base/errors.ts'
import type { EndpointHealth } from '../../src/kms/health.ts'
import { noStateStore, type SavedState, type StateStore } from '../../src/kms/state.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { FakeClock, settle } from '../_lib/fake_clock.ts'
import { FakeProvider } from '../_lib/kms/fake_provider.ts'
import { VirtualEndpoint } from '../_lib/kms/virtual_endpoint.ts'
import { suite } from '../_lib/uvu.ts'

const INTERVAL_MS = 30_000
const HOLD_MS = 900_000
const STALE_MS = 90_000
const TIMEOUT_MS = 2_500
const DELAY_MS = 300_000

const test = suite('kms/health', () => {
  const clock = new FakeClock()
  const events = new RecordedEvents()
  const provider = new FakeProvider('fake:one', clock.now() / 1000 - 86_400)
  const build = (store: StateStore = noStateStore, outageHoldMs = HOLD_MS) =>
    new VirtualEndpoint({
      clock,
      events,
      providers: [provider],
      monitor: {
        activationDelayMs: DELAY_MS,
        intervalMs: INTERVAL_MS,
        requestTimeoutMs: TIMEOUT_MS,
      },
      health: { staleAfterMs: STALE_MS, outageHoldMs },
      store,
    })
  return { clock, events, provider, build }
})

function failure(code: KmsErrorCode): KmsError {
  return new KmsError(`Seeded ${code}`, { code })
}

function refusal(health: EndpointHealth): string {
  try {
    health.active()
  } catch (error) {
    if (error instanceof KmsError) return error.code
    throw error
  }
  return 'none'
}

class MemoryStore implements StateStore {
  saved: SavedState | undefined
  load = () => Promise.resolve(this.saved)
  save = (state: SavedState) => {
    this.saved = structuredClone(state)
    return Promise.resolve()
  }
}

test('active() answers unavailable with the reason until the first success [F2]', async ({
  provider,
  build,
}) => {
  const endpoint = build()
  const { health } = endpoint
  assert.is(refusal(health), 'unavailable')

  provider.failure = failure('denied')
  await endpoint.start()

  assert.throws(() => health.active(), /^Not ready yet: Seeded denied$/)
  assert.is(refusal(health), 'unavailable')
})

test('the loop recovers by itself within 5 s, without a request [F4]', async ({
  clock,
  provider,
  build,
}) => {
  provider.failure = failure('unavailable')
  const endpoint = build()
  const { health } = endpoint
  await endpoint.start()
  await clock.advance(600_000)

  provider.failure = undefined
  await clock.advance(5_000)

  assert.is(refusal(health), 'none')
  assert.is(health.problem(), undefined)
})

test('a request makes the loop look again within a second, and never more often than every 500 ms [F7]', async ({
  clock,
  provider,
  build,
}) => {
  provider.failure = failure('unavailable')
  const endpoint = build()
  const { health } = endpoint
  await endpoint.start()
  await clock.advance(60_000)
  const before = provider.calls.keyState

  for (let step = 0; step < 100; step += 1) {
    refusal(health)
    await clock.advance(50)
  }

  assert.ok(provider.calls.keyState - before >= 9, 'looked')
  assert.ok(provider.calls.keyState - before <= 11, 'not too often')
  provider.failure = undefined
  refusal(health)
  await clock.advance(1_000)
  assert.is(refusal(health), 'none')
})

test('active() asks no provider, however often it is called [S13]', async ({ provider, build }) => {
  const endpoint = build()
  const { health } = endpoint
  await endpoint.start()
  const before = { ...provider.calls }

  for (let turn = 0; turn < 1_000; turn += 1) health.active()
  await settle()

  assert.equal(provider.calls, before)
})

test('active() keeps the key id through an outage as long as the hold [S9 S12]', async ({
  clock,
  provider,
  build,
}) => {
  const endpoint = build()
  const { health } = endpoint
  await endpoint.start()
  const { keyId } = health.active()

  provider.failure = failure('unavailable')
  endpoint.nudge()
  await clock.advance(HOLD_MS - 1_000)
  assert.is(health.active().keyId, keyId)
  assert.is(health.problem(), 'Seeded unavailable')

  await clock.advance(2_000)
  assert.is(refusal(health), 'unavailable')
  provider.failure = undefined
  await clock.advance(5_000)
  assert.is(health.active().keyId, keyId)
})

test('active() refuses at once in an outage where the hold is off', async ({
  clock,
  provider,
  build,
}) => {
  const endpoint = build(noStateStore, 0)
  const { health } = endpoint
  await endpoint.start()

  provider.failure = failure('timeout')
  endpoint.nudge()
  await clock.advance(1_000)

  assert.is(refusal(health), 'unavailable')
})

test('a provider that hangs costs the loop its time limit and no more', async ({
  clock,
  provider,
  build,
}) => {
  const endpoint = build()
  const { health } = endpoint
  await endpoint.start()

  provider.hangs = true
  endpoint.nudge()
  await clock.advance(NUDGE_AND_LIMIT_MS)
  assert.match(health.problem() ?? '', /Gave up after 2500 ms/)

  provider.hangs = false
  await clock.advance(5_000)
  assert.is(health.problem(), undefined)
})
const NUDGE_AND_LIMIT_MS = 500 + TIMEOUT_MS

for (const code of ['denied', 'key_unavailable', 'key_unknown', 'policy_denied'] as const) {
  test(`active() refuses with ${code} at once, hold or not [S6 E14]`, async ({
    clock,
    provider,
    build,
  }) => {
    const endpoint = build()
    const { health } = endpoint
    await endpoint.start()

    provider.failure = failure(code)
    endpoint.nudge()
    await clock.advance(1_000)

    assert.is(refusal(health), code)
  })
}

test('an outage after a denied key does not bring the hold back', async ({
  clock,
  provider,
  build,
}) => {
  const store = new MemoryStore()
  const endpoint = build(store)
  const { health } = endpoint
  await endpoint.start()
  provider.failure = failure('denied')
  endpoint.nudge()
  await clock.advance(1_000)

  provider.failure = failure('unavailable')
  await clock.advance(10_000)

  assert.is(refusal(health), 'denied')
  endpoint.stop()
  const restarted = build(store)
  await restarted.start()
  assert.is(refusal(restarted.health), 'unavailable')
})

test('a wrong round trip stops writes at once [S14]', async ({ clock, provider, build }) => {
  const endpoint = build()
  const { health } = endpoint
  await endpoint.start()

  provider.distort = (plaintext) => Uint8Array.from(plaintext, (byte) => byte ^ 1)
  endpoint.nudge()
  await clock.advance(1_000)

  assert.is(refusal(health), 'key_unavailable')
})

test('a service that ignores associated data never gets ready, and one that begins to stops writes at once [S14]', async ({
  clock,
  provider,
  build,
}) => {
  provider.ignoresAssociatedData = true
  const endpoint = build()
  const { health } = endpoint
  await endpoint.start()
  await clock.advance(60_000)
  assert.throws(() => health.active(), /ignores associated data/)

  provider.ignoresAssociatedData = false
  await clock.advance(5_000)
  assert.is(refusal(health), 'none')
  const { unwrap } = provider.calls
  await clock.advance(INTERVAL_MS)
  assert.is(provider.calls.unwrap - unwrap, 1, 'and the proof costs no request of its own')

  provider.ignoresAssociatedData = true
  await clock.advance(INTERVAL_MS)
  assert.is(refusal(health), 'unbound')
})

test('a provider that then has versions which bind in another way is asked again in the same look', async ({
  provider,
  build,
}) => {
  const [version] = provider.versions
  assert.ok(version !== undefined)
  provider.addVersion('1.inside', version.createdAt)
  provider.change('1.inside', { mayEncrypt: false })
  const wrap = provider.wrap.bind(provider)
  provider.wrap = (label, items, call) => {
    if (label === '1.inside') return wrap(label, items, call)
    provider.change('1', { mayEncrypt: false })
    provider.change('1.inside', { mayEncrypt: true })
    return Promise.reject(failure('unbound'))
  }
  const endpoint = build()
  const { health } = endpoint

  await endpoint.start()

  assert.equal(
    health.active().inputs.members.map(({ version: label }) => label),
    ['1.inside'],
  )
})

test('a new version becomes active at its time, in one switch [S8 E3]', async ({
  clock,
  events,
  provider,
  build,
}) => {
  const endpoint = build()
  const { health } = endpoint
  await endpoint.start()
  const before = health.active().keyId
  provider.addVersion('2', clock.now() / 1000)

  await clock.advance(DELAY_MS - 1)
  assert.is(health.active().keyId, before)
  const pending = events.of('health').at(-1)?.providers[0]
  assert.is(pending?.pendingVersion, '2')

  await clock.advance(10)
  assert.match(health.active().keyId, /^tr1-any-v2-/)
  assert.is(events.of('key_id').length, 2)
})

test("activation goes by the service's clock, not the node's", async ({
  clock,
  provider,
  build,
}) => {
  const serviceOffset = -40_000
  provider.addVersion('2', (clock.now() + serviceOffset) / 1000 - 290)
  provider.serviceTime = clock.now() + serviceOffset
  const endpoint = build()
  const { health } = endpoint
  await endpoint.start()

  assert.match(health.active().keyId, /^tr1-any-v1-/)
})

test('a disabled version is left at the next look', async ({ clock, provider, build }) => {
  provider.addVersion('2', clock.now() / 1000 - 3_600)
  const endpoint = build()
  const { health } = endpoint
  await endpoint.start()
  assert.match(health.active().keyId, /^tr1-any-v2-/)

  provider.change('2', { mayEncrypt: false })
  endpoint.nudge()
  await clock.advance(1_000)

  assert.match(health.active().keyId, /^tr1-any-v1-/)
})

test('a lagging replica keeps the key id and is reported', async ({ clock, provider, build }) => {
  provider.addVersion('2', clock.now() / 1000 - 3_600)
  const endpoint = build()
  const { health } = endpoint
  await endpoint.start()
  const { keyId } = health.active()

  const all = provider.versions
  provider.versions = all.slice(0, 1)
  await clock.advance(INTERVAL_MS)

  assert.is(health.active().keyId, keyId)
  assert.match(health.problem() ?? '', /version 2 is gone/)
  provider.versions = all
  await clock.advance(5_000)
  assert.is(health.problem(), undefined)
})

test('a key that was deleted and made again gets a new key id and an alarm', async ({
  clock,
  events,
  provider,
  build,
}) => {
  const endpoint = build()
  const { health } = endpoint
  await endpoint.start()
  const { keyId } = health.active()

  provider.versions = []
  provider.addVersion('1', clock.now() / 1000 - 10)
  await clock.advance(INTERVAL_MS)

  assert.is.not(health.active().keyId, keyId)
  assert.equal(events.notices(), ['key_recreated'])
})

test('a restart during an outage keeps key id and hold with a store', async ({
  clock,
  provider,
  build,
}) => {
  const store = new MemoryStore()
  const first = build(store)
  await first.start()
  const { keyId } = first.health.active()
  first.stop()

  provider.failure = failure('unavailable')
  await clock.advance(HOLD_MS - 10_000)
  const second = build(store)
  await second.start()
  assert.is(second.health.active().keyId, keyId)

  await clock.advance(11_000)
  assert.is(refusal(second.health), 'unavailable')
})

test('a restart sees a rollback with a store', async ({ clock, provider, build }) => {
  provider.addVersion('2', clock.now() / 1000 - 3_600)
  const store = new MemoryStore()
  const first = build(store)
  await first.start()
  const { keyId } = first.health.active()
  first.stop()

  provider.versions = provider.versions.slice(0, 1)
  const second = build(store)
  await second.start()

  assert.is(second.health.active().keyId, keyId)
  assert.match(second.health.problem() ?? '', /version 2 is gone/)
})

test('a saved state of other providers is not taken up', async ({ clock, provider, build }) => {
  const store = new MemoryStore()
  const members = [{ providerId: 'fake:other', version: '1', createdAt: 1 }]
  const saved = { name: 'default', keyId: 'tr1', members, out: [], lastSuccess: clock.now() }
  store.saved = { endpoints: [saved], seen: [] }
  provider.failure = failure('unavailable')

  const endpoint = build(store)
  const { health } = endpoint
  await endpoint.start()

  assert.is(refusal(health), 'unavailable')
})

test('a store that fails is reported once and stops nothing', async ({ clock, events, build }) => {
  const store: StateStore = {
    load: () => Promise.resolve(undefined),
    save: () => Promise.reject(new Error('No space')),
  }
  const endpoint = build(store)
  const { health } = endpoint
  await endpoint.start()
  await clock.advance(10 * INTERVAL_MS)

  assert.is(refusal(health), 'none')
  assert.equal(events.notices(), ['state_not_saved'])
})

test('stop() ends the loop', async ({ clock, provider, build }) => {
  const endpoint = build()
  await endpoint.start()
  endpoint.stop()
  const before = provider.calls.keyState

  endpoint.nudge()
  await clock.advance(600_000)

  assert.is(provider.calls.keyState, before)
})

test.run()
