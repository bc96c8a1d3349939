import { Buffer } from 'node:buffer'
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import * as assert from 'uvu/assert'
import { KmsError } from '../../src/base/errors.ts'
import type { Call, Outcome } from '../../src/base/provider.ts'
import type { SigningKeySource } from '../../src/base/signing_key.ts'
import { Signer } from '../../src/signer/signer.ts'
import type { SignerState } from '../../src/signer/state.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { FakeClock, settle } from '../_lib/fake_clock.ts'
import { headerOf, verifiedBy } from '../_lib/grpc/signer_client.ts'
import { rejection, suite } from '../_lib/uvu.ts'

const CLAIMS = Buffer.from('{"sub":"x"}').toString('base64url')
const DELAY_MS = 60_000

interface Version {
  readonly privateKey: KeyObject
  readonly spki: Uint8Array
  readonly createdAt: number
}

/** A key service that can be made to fail and to lie. */
class FakeSource implements SigningKeySource {
  readonly id = 'fake'
  readonly batchItems = 100
  readonly versions = new Map<string, Version>()
  down: KmsError | undefined
  /** Changes what would be answered. */
  lie: (outcomes: readonly Outcome<Uint8Array>[]) => readonly Outcome<Uint8Array>[] = (all) => all
  readonly batches: number[] = []
  readonly #clock: FakeClock

  constructor(clock: FakeClock) {
    this.#clock = clock
  }

  add(label: string): Version {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }))
    const createdAt = Math.floor(this.#clock.now() / 1_000)
    const version = { privateKey, spki, createdAt }
    this.versions.set(label, version)
    return version
  }

  publicKeys: SigningKeySource['publicKeys'] = () => {
    if (this.down !== undefined) return Promise.reject(this.down)
    const versions = [...this.versions].map(([label, { spki, createdAt }]) => ({
      label,
      createdAt,
      publicKey: spki,
      maySign: true,
    }))
    return Promise.resolve({ versions, serviceTime: undefined })
  }

  sign: SigningKeySource['sign'] = ({ version, inputs }) => {
    this.batches.push(inputs.length)
    if (this.down !== undefined) return Promise.reject(this.down)
    const key = this.versions.get(version)?.privateKey
    if (key === undefined) return Promise.reject(new Error('No such version'))
    const options = { key, dsaEncoding: 'ieee-p1363' } as const
    const values = inputs.map((input) => new Uint8Array(sign('sha256', input, options)))
    return Promise.resolve(this.lie(values.map((value) => ({ ok: true, value }))))
  }

  describe = () => 'fake'
  close = () => Promise.resolve()
}

const test = suite('signer/signer', () => {
  const clock = new FakeClock()
  const events = new RecordedEvents()
  const source = new FakeSource(clock)
  let saved: SignerState | undefined
  const store = {
    load: () => Promise.resolve(saved),
    save: (state: SignerState) => {
      saved = state
      return Promise.resolve()
    },
  }
  const make = (distrusted: readonly string[] = []) => {
    const options = {
      sourceId: source.id,
      activationDelayMs: DELAY_MS,
      maxTokenLifeMs: 3_600_000,
      distrusted: new Set(distrusted),
      intervalMs: 5_000,
      requestTimeoutMs: 2_000,
      refreshMs: 10_000,
      beside: [],
    }
    return new Signer(source, options, { clock, events, store })
  }
  const call = (signal = new AbortController().signal): Call => ({
    signal,
    deadline: clock.monotonic() + 2_000,
  })
  return { clock, events, source, make, call }
})

const AWAY = new KmsError('Nobody answers', { code: 'unavailable' })

test('a signature that the published key does not verify is never handed on, and its neighbours are [J11]', async ({
  source,
  make,
  call,
}) => {
  source.add('1')
  const signer = make()
  await signer.watch.look()
  const stranger = new FakeSource(new FakeClock()).add('1')
  const lies: Record<string, FakeSource['lie']> = {
    'of another item': (all) => all.toReversed(),
    'that was changed': (all) =>
      all.map((each) => (each.ok ? { ...each, value: spoilt(each.value) } : each)),
    empty: (all) => all.map((): Outcome<Uint8Array> => ({ ok: true, value: new Uint8Array() })),
    missing: () => [],
    'of another key': (all) =>
      all.map(() => ({
        ok: true,
        value: sign('sha256', Buffer.from('x'), stranger.privateKey),
      })),
  }
  for (const [what, lie] of Object.entries(lies)) {
    source.lie = lie
    const all = ['YQ', 'Yg', 'Yw', 'ZA'].map((claims) => rejection(signer.sign(claims, call())))
    for (const error of await Promise.all(all)) {
      // Where a batch has one item, its reverse is the same.
      if (what !== 'of another item') assert.is((error as KmsError).code, 'protocol', what)
    }
    source.lie = (outcomes) => outcomes
    await signer.sign(CLAIMS, call())
  }
})

test('items of one batch fail one by one', async ({ source, make, call }) => {
  source.add('1')
  const signer = make()
  await signer.watch.look()
  const refusal = new KmsError('Not this one', { code: 'denied' })
  source.lie = (all) =>
    all.map((each, index) => (index === 1 ? { ok: false, error: refusal } : each))
  const results = await Promise.allSettled(
    Array.from({ length: 12 }, (_, index) => signer.sign(`${CLAIMS}${index}`, call())),
  )

  assert.ok(
    source.batches.some((items) => items > 2),
    'what comes meanwhile leaves together',
  )
  const failed = results.filter(({ status }) => status === 'rejected')
  assert.is(failed.length, source.batches.filter((items) => items > 1).length)
})

test('FetchKeys waits while no key was ever known, and answers as soon as one is [J2]', async ({
  source,
  clock,
  make,
  call,
}) => {
  source.down = AWAY
  const signer = make()
  signer.watch.start()
  let answered = false
  const fetched = signer.fetchKeys(call()).finally(() => {
    answered = true
  })
  await clock.advance(3_000)
  assert.not.ok(answered)
  source.add('1')
  source.down = undefined
  await clock.advance(4_000)
  await settle()

  assert.is((await fetched).keys.length, 1)
  const gone = AbortSignal.abort(new KmsError('Enough', { code: 'cancelled' }))
  source.versions.clear()
  assert.match(String(await rejection(make().fetchKeys(call(gone)))), /Enough/)
})

test('an outage takes Sign alone, and after it all goes on', async ({
  source,
  clock,
  make,
  call,
  events,
}) => {
  source.add('1')
  const first = make()
  await first.watch.look()
  source.down = AWAY
  const signer = make()
  await signer.watch.load()
  signer.watch.start()
  await settle()

  const { keys, readAt } = await signer.fetchKeys(call())
  assert.is(keys.length, 1)
  assert.is(readAt, clock.now())
  assert.is(await rejection(signer.sign(CLAIMS, call())), AWAY)
  assert.is(signer.watch.problem, AWAY)
  assert.is(events.of('signer').at(-1)?.ok, false)
  source.down = undefined
  await clock.advance(4_000)
  const token = await signer.sign(CLAIMS, call())
  const found = (await signer.fetchKeys(call())).keys.map((key) => ({ ...key, excluded: false }))
  assert.ok(verifiedBy(found, CLAIMS, token))
  assert.is(signer.watch.problem, undefined)
})

test('a key that was made again under the same version is an alarm: nothing is signed, the old one stays published', async ({
  source,
  make,
  call,
  events,
}) => {
  source.add('1')
  const signer = make()
  await signer.watch.look()
  const { keys } = await signer.fetchKeys(call())
  source.add('1')
  await signer.watch.look()
  await signer.watch.look()

  assert.equal(events.notices(), ['signing_key_replaced'])
  assert.match(String(await rejection(signer.sign(CLAIMS, call()))), /is another key than before/)
  assert.equal(
    (await signer.fetchKeys(call())).keys.map(({ kid }) => kid),
    [keys[0]?.kid],
  )

  const decided = make([keys[0]?.kid ?? ''])
  await decided.watch.load()
  await decided.watch.look()
  const token = await decided.sign(CLAIMS, call())
  assert.is.not(headerOf(token)['kid'], keys[0]?.kid)
  assert.is((await decided.fetchKeys(call())).keys.length, 1)
})

test('the version that signs is gone: it is told once, and no older one signs in its place', async ({
  source,
  clock,
  make,
  call,
  events,
}) => {
  source.add('1')
  await clock.advance(1_000)
  source.add('2')
  await clock.advance(DELAY_MS)
  const signer = make()
  await signer.watch.look()
  const { kid } = headerOf(await signer.sign(CLAIMS, call()))
  source.versions.delete('2')
  await signer.watch.look()
  await signer.watch.look()

  assert.equal(events.notices(), ['signing_key_gone'])
  assert.match(String(await rejection(signer.sign(CLAIMS, call()))), /Version 2 .* is gone/)
  assert.is((await signer.fetchKeys(call())).keys[0]?.kid, kid)
  assert.is(events.of('signer').at(-1)?.ok, false, 'and it is no good health')
})

test('a new version signs at the very moment of its delay, whether anybody looks or not', async ({
  source,
  clock,
  make,
  call,
}) => {
  source.add('1')
  await clock.advance(DELAY_MS)
  const signer = make()
  source.add('2')
  const at = (source.versions.get('2')?.createdAt ?? 0) * 1_000 + DELAY_MS
  await signer.watch.look()
  signer.watch.stop()
  const old = headerOf(await signer.sign(CLAIMS, call()))['kid']
  await clock.advance(at - clock.now() - 1)
  assert.is(headerOf(await signer.sign(CLAIMS, call()))['kid'], old)
  await clock.advance(1)
  assert.is.not(headerOf(await signer.sign(CLAIMS, call()))['kid'], old)
})

function spoilt(bytes: Uint8Array): Uint8Array {
  return bytes.map((byte, index) => (index === 0 ? byte ^ 1 : byte))
}

test.run()
