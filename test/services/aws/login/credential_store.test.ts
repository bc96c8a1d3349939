import * as assert from 'uvu/assert'
import { KmsError } from '../../../../src/base/errors.ts'
import type { AwsCredentials } from '../../../../src/services/aws/api.ts'
import { CredentialStore } from '../../../../src/services/aws/login/credential_store.ts'
import { RecordedEvents } from '../../../_lib/events.ts'
import { FakeClock } from '../../../_lib/fake_clock.ts'
import { rejection, suite } from '../../../_lib/uvu.ts'

const LIFE_MS = 3_600_000
const call = { signal: new AbortController().signal, deadline: Number.POSITIVE_INFINITY }

const test = suite('services/aws/login/credential_store', () => {
  const clock = new FakeClock()
  const events = new RecordedEvents()
  /** What the source does next; makes credentials where it is undefined. */
  const script: { next: (() => Promise<AwsCredentials>) | undefined; fetches: number } = {
    next: undefined,
    fetches: 0,
  }
  const make = (expiresAt: number | undefined = clock.monotonic() + LIFE_MS): AwsCredentials => ({
    accessKeyId: `ASIA${script.fetches}`,
    secretAccessKey: 'planted-secret',
    sessionToken: 'planted-session',
    expiresAt,
  })
  const source = {
    name: 'imds',
    fetch() {
      script.fetches += 1
      return script.next?.() ?? Promise.resolve(make())
    },
  }
  const store = new CredentialStore(source, {
    clock,
    events,
    random: () => 0.5,
    provider: 'aws',
    requestTimeoutMs: 2_500,
  })
  const fail = (code: 'unavailable' | 'denied' = 'unavailable') => {
    script.next = () => Promise.reject(new KmsError('Nobody answers', { code }))
  }
  const codes = () => events.of('token').map(({ action, code }) => `${action} ${code}`)
  return { clock, events, script, store, make, fail, codes }
})

test('however many ask, the source is asked once', async ({ store, script }) => {
  const all = await Promise.all(Array.from({ length: 50 }, () => store.get(call)))
  await store.get(call)

  assert.is(script.fetches, 1)
  assert.is(new Set(all).size, 1)
})

test('credentials are replaced at 70 % of their life, before anybody asks', async (context) => {
  const { store, clock, script, codes } = context
  const first = await store.get(call)
  await clock.advance(LIFE_MS * 0.7 - 1)
  const before = script.fetches
  await clock.advance(1)

  const second = await store.get(call)

  assert.is(before, 1)
  assert.is(script.fetches, 2)
  assert.is.not(second, first)
  assert.equal(codes(), ['login ok', 'renew ok'])
})

test('while replacing them fails the old ones serve until they end, then the error says so', async (context) => {
  const { store, clock, fail } = context
  const first = await store.get(call)
  fail()
  await clock.advance(LIFE_MS - 1)
  const last = await store.get(call)
  await clock.advance(1)

  const error = (await rejection(store.get(call))) as KmsError

  assert.is(last, first)
  assert.is(error.code, 'unavailable')
  assert.match(
    error.message,
    'Credentials (imds) have expired and cannot be replaced: Nobody answers',
  )
})

test('failed attempts come later and later, at most every 30 s', async (context) => {
  const { store, clock, script, fail } = context
  await store.get(call)
  fail()
  await clock.advance(LIFE_MS * 0.7)
  const start = script.fetches

  await clock.advance(1_000 + 2_000 + 4_000 + 8_000 + 16_000 + 30_000 + 30_000)

  assert.is(script.fetches - start, 7)
})

test('who asks right after a failure gets the same one without another attempt', async (context) => {
  const { store, clock, script, fail } = context
  fail('denied')
  const first = await rejection(store.get(call))
  const second = await rejection(store.get(call))
  const meanwhile = script.fetches
  script.next = undefined
  await clock.advance(1_000)

  const good = await store.get(call)

  assert.is(second, first)
  assert.is(meanwhile, 1)
  assert.is(good.accessKeyId, 'ASIA2')
})

test('keys that tell no end are read again every five minutes, and told only when they change', async (context) => {
  const { store, clock, script, make, codes } = context
  const kept = { ...make(undefined), expiresAt: undefined }
  script.next = () => Promise.resolve({ ...kept })
  const first = await store.get(call)
  await clock.advance(600_000)
  const same = await store.get(call)
  script.next = () => Promise.resolve({ ...kept, accessKeyId: 'AKIAOTHER' })
  await clock.advance(300_000)

  const other = await store.get(call)

  assert.is(same, first)
  assert.is(other.accessKeyId, 'AKIAOTHER')
  assert.is(script.fetches, 4)
  assert.equal(codes(), ['login ok', 'renew ok'])
})

test('replace() fetches others once for all who were refused, and not again for young ones', async (context) => {
  const { store, clock, script } = context
  const dead = await store.get(call)
  await clock.advance(10_000)
  const [one, two] = await Promise.all([store.replace(dead, call), store.replace(dead, call)])
  const fetches = script.fetches

  const young = await store.replace(one ?? dead, call)
  const late = await store.replace(dead, call)

  assert.is(fetches, 2)
  assert.is(one, two)
  assert.is(young, undefined)
  assert.is(late, one)
})

test('replace() says that there are no others where the source gives the same ones', async (context) => {
  const { store, clock, script, make } = context
  const same = make()
  script.next = () => Promise.resolve({ ...same })
  const dead = await store.get(call)
  await clock.advance(10_000)

  assert.is(await store.replace(dead, call), undefined)
})

test('credentials that have expired when they come are refused', async (context) => {
  const { store, script, make, clock } = context
  script.next = () => Promise.resolve(make(clock.monotonic()))

  const error = (await rejection(store.get(call))) as KmsError

  assert.is(error.code, 'unavailable')
  assert.match(error.message, 'had expired when they came')
})

test('a source that hangs is given up in time, and who gives up earlier does not wait for it', async (context) => {
  const { store, clock, script } = context
  script.next = () => new Promise(() => undefined)
  const reason = new KmsError('Enough', { code: 'cancelled' })
  const gone = new AbortController()
  const impatient = rejection(store.get({ ...call, signal: gone.signal }))
  const patient = rejection(store.get(call))
  gone.abort(reason)

  const early = await impatient
  await clock.advance(2_500)
  const late = (await patient) as KmsError

  assert.is(early, reason)
  assert.is(late.code, 'timeout')
})

test('close() ends the replacing', async ({ store, clock, script }) => {
  await store.get(call)
  store.close()

  await clock.advance(LIFE_MS)

  assert.is(script.fetches, 1)
})

test.run()
