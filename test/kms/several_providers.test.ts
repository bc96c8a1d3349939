/** Health and keyring over three providers: outages, returns, reading and writing. */

import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import * as assert from 'uvu/assert'
import { KmsError, type KmsErrorCode } from '../../src/base/errors.ts'
import type { KmsApi } from '../../src/base/events.ts'
import type { Provider } from '../../src/base/provider.ts'
import type { EncryptReply } from '../../src/base/service.ts'
import { decodeEnvelope, encodeEnvelope } from '../../src/kms/envelope.ts'
import type { Protection } from '../../src/kms/health_view.ts'
import { RECOVERY_ANNOTATION, type RecoverySealer } from '../../src/kms/recovery.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { FakeClock } from '../_lib/fake_clock.ts'
import { FakeProvider } from '../_lib/kms/fake_provider.ts'
import {
  ANY_PROTECTION,
  VirtualEndpoint,
  type VirtualEndpointOptions,
} from '../_lib/kms/virtual_endpoint.ts'
import { MemoryStore } from '../_lib/kms/virtual_node.ts'
import { rejection, suite } from '../_lib/uvu.ts'

const SEED = Buffer.from('0123456789abcdef0123456789abcdef')
const HOLD_MS = 60_000
const RETURN_MS = 600_000
const INTERVAL_MS = 30_000
const DAY_S = 86_400
const THRESHOLD: Protection = { ...ANY_PROTECTION, scheme: 'threshold', k: 2, minimum: 2 }

const test = suite('kms/several providers', () => {
  const clock = new FakeClock()
  const events = new RecordedEvents()
  const made = (id: string) => new FakeProvider(id, clock.now() / 1000 - DAY_S)
  const [a, b, c] = [made('fake:a'), made('fake:b'), made('fake:c')] as const
  const build = (options: Partial<VirtualEndpointOptions> = {}) =>
    new VirtualEndpoint({ clock, events, providers: [a, b, c], ...options })
  const started = async (options: Partial<VirtualEndpointOptions> = {}) => {
    const endpoint = build(options)
    await endpoint.start()
    return endpoint
  }
  const call = () => ({
    signal: new AbortController().signal,
    deadline: clock.monotonic() + 2_500,
  })
  const encrypt = (endpoint: VirtualEndpoint, api: KmsApi = 'v2') =>
    endpoint.keyring.encrypt({ api, plaintext: SEED }, call())
  const open = async (endpoint: VirtualEndpoint, made: EncryptReply, api: KmsApi = 'v2') => {
    const keyId = api === 'v2' ? made.keyId : undefined
    return Buffer.from(await endpoint.keyring.decrypt({ api, ...made, keyId }, call()))
  }
  return { clock, events, a, b, c, build, started, call, encrypt, open }
})

function fail(provider: FakeProvider, code: KmsErrorCode = 'unavailable'): void {
  provider.failure = new KmsError(`${provider.id} is ${code}`, { code })
}

function membersOf({ ciphertext }: EncryptReply): string {
  return decodeEnvelope(ciphertext)
    .members.map(({ providerId }) => providerId.slice(-1))
    .join('')
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await rejection(promise)
  assert.instance(error, KmsError)
  return (error as KmsError).code
}

test('under any each provider alone opens what all wrapped', async ({
  a,
  b,
  c,
  started,
  encrypt,
  open,
}) => {
  const endpoint = await started()
  const made = await encrypt(endpoint)
  assert.is(membersOf(made), 'abc')

  for (const up of [a, b, c]) {
    for (const each of [a, b, c]) fail(each)
    up.failure = undefined
    assert.equal(await open(endpoint, made), SEED)
  }
})

test('v2 keeps the key id for the hold time, leaves a provider out after it, and takes it back', async ({
  clock,
  events,
  b,
  started,
  encrypt,
  open,
}) => {
  const endpoint = await started()
  const full = await encrypt(endpoint)
  fail(b)
  endpoint.nudge()
  await clock.advance(HOLD_MS - 5_000)
  assert.is(endpoint.keyring.status(), full.keyId)
  assert.is(await codeOf(encrypt(endpoint)), 'unavailable')

  await clock.advance(10_000)
  const degraded = await encrypt(endpoint)
  assert.is(degraded.keyId, endpoint.keyring.status())
  assert.is.not(degraded.keyId, full.keyId)
  assert.is(membersOf(degraded), 'ac')
  assert.is(events.of('health').at(-1)?.state, 'degraded')
  assert.is(endpoint.health.problem(), undefined)

  b.failure = undefined
  await clock.advance(RETURN_MS - 10_000)
  assert.is(endpoint.keyring.status(), degraded.keyId)
  await clock.advance(20_000)
  assert.is(endpoint.keyring.status(), full.keyId)
  assert.is(events.of('health').at(-1)?.state, 'ok')
  for (const made of [full, degraded]) assert.equal(await open(endpoint, made), SEED)
})

test('one that fails again while it waits to return starts its wait anew', async ({
  clock,
  b,
  started,
}) => {
  const endpoint = await started()
  const full = endpoint.keyring.status()
  fail(b)
  endpoint.nudge()
  await clock.advance(HOLD_MS + 5_000)
  b.failure = undefined
  await clock.advance(RETURN_MS / 2)
  fail(b)
  await clock.advance(INTERVAL_MS)
  b.failure = undefined
  await clock.advance(RETURN_MS * 0.9)
  assert.is.not(endpoint.keyring.status(), full)

  await clock.advance(RETURN_MS * 0.2)

  assert.is(endpoint.keyring.status(), full)
})

test('v1beta1 uses the remaining providers at once, also in the request that meets the fault', async ({
  clock,
  b,
  started,
  encrypt,
  open,
}) => {
  const endpoint = await started()
  assert.is(membersOf(await encrypt(endpoint, 'v1beta1')), 'abc')
  fail(b)

  const first = await encrypt(endpoint, 'v1beta1')
  endpoint.nudge()
  await clock.advance(1_000)
  const { wrap } = b.calls
  const second = await encrypt(endpoint, 'v1beta1')

  assert.is(membersOf(first), 'ac')
  assert.is(membersOf(second), 'ac')
  assert.is(b.calls.wrap, wrap, 'one that is known to be away is not asked')
  for (const made of [first, second]) assert.equal(await open(endpoint, made, 'v1beta1'), SEED)
})

test('v1beta1 does without one provider more where it fails while those that answered are asked anew', async ({
  a,
  b,
  started,
  encrypt,
  open,
}) => {
  const endpoint = await started()
  const before = b.calls.wrap
  fail(a)
  b.pause = () => {
    // Its second wrap of this request; the first one has answered.
    if (b.calls.wrap === before + 2) fail(b)
    return Promise.resolve()
  }

  const made = await encrypt(endpoint, 'v1beta1')

  assert.is(b.calls.wrap, before + 2)
  assert.is(membersOf(made), 'c')
  assert.equal(await open(endpoint, made, 'v1beta1'), SEED)
})

test('v1beta1 does without a provider that hangs, inside the time of the request', async ({
  clock,
  b,
  started,
  encrypt,
}) => {
  const endpoint = await started()
  b.hangs = true

  const made = encrypt(endpoint, 'v1beta1')
  await clock.advance(1_300)

  assert.is(membersOf(await made), 'ac')
})

test('an Encrypt that fails at one provider gives up the wraps of those that hang', async ({
  clock,
  a,
  b,
  started,
  encrypt,
}) => {
  const endpoint = await started()
  fail(a)
  b.hangs = true

  for (let turn = 0; turn < 20; turn += 1) await rejection(encrypt(endpoint))
  a.failure = undefined
  b.hangs = false
  await clock.advance(1)

  assert.is(membersOf(await encrypt(endpoint)), 'abc')
})

test('v1beta1 refuses with fewer than minimumProviders', async ({ b, started, encrypt }) => {
  const endpoint = await started({ health: { protection: { ...ANY_PROTECTION, minimum: 3 } } })
  fail(b)

  assert.is(await codeOf(encrypt(endpoint, 'v1beta1')), 'unavailable')
})

test('a denied key is left out at once, without the hold time', async ({
  clock,
  b,
  started,
  encrypt,
}) => {
  const endpoint = await started()
  fail(b, 'denied')
  endpoint.nudge()
  await clock.advance(1_000)

  assert.is(membersOf(await encrypt(endpoint)), 'ac')
})

test('with fewer than minimumProviders the hold of an outage begins, and a denied key ends it', async ({
  clock,
  b,
  started,
}) => {
  const endpoint = await started({ health: { protection: { ...ANY_PROTECTION, minimum: 3 } } })
  const full = endpoint.keyring.status()
  fail(b)
  endpoint.nudge()
  await clock.advance(HOLD_MS * 5)
  assert.is(endpoint.keyring.status(), full)

  fail(b, 'denied')
  await clock.advance(5_000)

  assert.throws(() => endpoint.keyring.status(), /fake:b is denied/)
})

test('an API server that starts while a provider is away from the start can write after the hold time', async ({
  clock,
  b,
  started,
  encrypt,
}) => {
  fail(b)
  const endpoint = await started()
  assert.throws(() => endpoint.keyring.status(), /^Not ready yet/)
  assert.is(membersOf(await encrypt(endpoint, 'v1beta1')), 'ac')

  await clock.advance(HOLD_MS + 1_000)

  assert.is(membersOf(await encrypt(endpoint)), 'ac')
})

test('a restart keeps who was left out, with a store', async ({ clock, b, started, build }) => {
  const store = new MemoryStore()
  const first = await started({ store })
  fail(b)
  first.nudge()
  await clock.advance(HOLD_MS + 5_000)
  const degraded = first.keyring.status()
  first.stop()
  b.failure = undefined

  const second = build({ store })
  await second.start()
  assert.is(second.keyring.status(), degraded)
  await clock.advance(RETURN_MS / 2)

  assert.is(second.keyring.status(), degraded)
})

test('a version that may no longer encrypt is left at once though another provider is away', async ({
  clock,
  a,
  b,
  started,
  encrypt,
}) => {
  a.addVersion('2', clock.now() / 1000 - 3_600)
  const endpoint = await started()
  fail(b)
  endpoint.nudge()
  await clock.advance(1_000)
  const before = endpoint.keyring.status()
  a.change('2', { mayEncrypt: false })
  await clock.advance(INTERVAL_MS)

  assert.is.not(endpoint.keyring.status(), before)
  assert.is(membersOf(await encrypt(endpoint)), 'ac')
})

test('a rotation waits while another provider is away, so that no key id stands on it', async ({
  clock,
  a,
  b,
  started,
}) => {
  const endpoint = await started()
  const before = endpoint.keyring.status()
  fail(b)
  endpoint.nudge()
  await clock.advance(1_000)
  a.addVersion('2', clock.now() / 1000 - 3_600)
  await clock.advance(INTERVAL_MS)
  assert.is(endpoint.keyring.status(), before)

  b.failure = undefined
  await clock.advance(5_000)

  assert.match(endpoint.keyring.status(), /^tr1-any-v2\+v1\+v1-/)
})

test('a provider that is only read is asked for its key and never written to', async ({
  b,
  started,
  encrypt,
  open,
}) => {
  const before = await started()
  const made = await encrypt(before)
  const { wrap } = b.calls

  const endpoint = await started({ monitorOf: { 'fake:b': { decryptOnly: true } } })

  assert.is(membersOf(await encrypt(endpoint)), 'ac')
  assert.is(b.calls.wrap, wrap)
  assert.equal(await open(endpoint, made), SEED)
})

test('a provider writes from the time that the config names, by its own clock', async ({
  clock,
  b,
  started,
  encrypt,
}) => {
  Object.defineProperty(b, 'serviceTime', { get: () => clock.now() + 40_000 })
  const activeFrom = clock.now() + 100_000
  const endpoint = await started({ monitorOf: { 'fake:b': { activeFrom } } })
  await clock.advance(59_000)
  assert.is(membersOf(await encrypt(endpoint)), 'ac')

  await clock.advance(2_000)

  assert.is(membersOf(await encrypt(endpoint)), 'abc')
})

test('what was made under a former id opens', async ({ a, started, encrypt, open }) => {
  const made = await encrypt(await started({ providers: [a] }))
  const renamed: Provider = {
    id: 'fake:new',
    limits: a.limits,
    keyState: (call) => a.keyState(call),
    wrap: (...args) => a.wrap(...args),
    unwrap: (...args) => a.unwrap(...args),
    describe: () => a.describe(),
    close: () => a.close(),
  }

  const endpoint = await started({
    providers: [renamed],
    monitorOf: { 'fake:new': { formerIds: ['fake:a'] } },
  })

  assert.equal(await open(endpoint, made), SEED)
  assert.is.not(endpoint.keyring.status(), made.keyId)
})

test('decrypt asks the fastest first, and the next one when that is slower than usual', async ({
  clock,
  events,
  a,
  b,
  c,
  started,
  encrypt,
  call,
}) => {
  const wait = (ms: number) => () =>
    new Promise<void>((resolve) => {
      clock.after(ms, resolve)
    })
  const endpoint = await started()
  for (const [each, ms] of [
    [a, 50],
    [b, 5],
    [c, 100],
  ] as const) {
    each.pause = wait(ms)
  }
  for (let turn = 0; turn < 8; turn += 1) {
    const looked = endpoint.probe()
    await clock.advance(1_000)
    await looked
  }
  for (const each of [a, b, c]) each.pause = undefined
  const made = await encrypt(endpoint)
  const asked = () => [a, b, c].map(({ calls }) => calls.unwrap).join()
  const before = [a, b, c].map(({ calls }) => calls.unwrap)
  b.pause = wait(3)
  const quick = endpoint.keyring.decrypt({ api: 'v2', ...made }, call())
  await clock.advance(3)
  await quick
  assert.is(asked(), [before[0], (before[1] ?? 0) + 1, before[2]].join())

  b.pause = wait(2_000)
  const hedged = endpoint.keyring.decrypt({ api: 'v2', ...made }, call())
  await clock.advance(200)

  assert.equal(Buffer.from(await hedged), SEED)
  assert.is(asked(), [(before[0] ?? 0) + 1, (before[1] ?? 0) + 2, before[2]].join())
  assert.equal(events.of('hedge'), [{ type: 'hedge', provider: 'fake:a', reason: 'slow' }])
})

test('a Decrypt that is served by an equal one under way is told, and asks nobody', async ({
  events,
  a,
  started,
  encrypt,
  open,
}) => {
  const endpoint = await started()
  const made = await encrypt(endpoint)
  const before = a.calls.unwrap

  const opened = await Promise.all([open(endpoint, made), open(endpoint, made)])

  assert.equal(opened, [SEED, SEED])
  assert.is(a.calls.unwrap, before + 1)
  assert.equal(events.of('coalesced'), [{ type: 'coalesced', provider: 'fake:a' }])
})

for (const [preference, wanted] of [
  [['fake:c', 'fake:a'], 'ccc'],
  ['roundrobin', 'bca'],
] as const) {
  test(`decryptPreference ${JSON.stringify(preference)} asks in its order`, async ({
    a,
    b,
    c,
    started,
    encrypt,
    open,
  }) => {
    const endpoint = await started({ keyring: { decryptPreference: preference } })
    const made = await encrypt(endpoint)
    let asked = ''

    for (let turn = 0; turn < 3; turn += 1) {
      const before = [a, b, c].map(({ calls }) => calls.unwrap)
      await open(endpoint, made)
      const changed = [a, b, c].filter(({ calls }, at) => calls.unwrap !== before[at])
      asked += changed.map(({ id }) => id.slice(-1)).join('')
    }

    assert.is(asked, wanted)
  })
}

test('threshold: any two of three open, one opens nothing, and the error says so', async ({
  a,
  b,
  c,
  started,
  encrypt,
  open,
}) => {
  const endpoint = await started({ health: { protection: THRESHOLD } })
  const made = await encrypt(endpoint)
  assert.match(made.keyId, /^tr1-2of3-v1\+v1\+v1-/)

  for (const down of [a, b, c]) {
    for (const each of [a, b, c]) each.failure = undefined
    fail(down)
    assert.equal(await open(endpoint, made), SEED)
  }
  for (const up of [a, b, c]) {
    for (const each of [a, b, c]) fail(each)
    up.failure = undefined
    const error = (await rejection(open(endpoint, made))) as KmsError
    assert.is(error.code, 'unavailable')
    assert.match(error.message, /^Fewer than 2 of 3 providers could open this/)
  }
})

test('threshold: shares of two envelopes do not mix', async ({ started, encrypt, open }) => {
  const endpoint = await started({ health: { protection: THRESHOLD } })
  const [one, two] = [await encrypt(endpoint), await encrypt(endpoint)]
  const [first, second] = [one, two].map(({ ciphertext }) => decodeEnvelope(ciphertext))
  assert.ok(first && second)
  const header = one.ciphertext.subarray(0, one.ciphertext.length)
  const headerBytes = headerOf(header)
  const wraps = first.wraps.map((wrap, at) => (at === 0 ? wrap : (second.wraps[at] ?? wrap)))

  const mixed = encodeEnvelope({ bytes: headerBytes, digest: first.digest }, wraps, first.sealed)
  const resealed = encodeEnvelope(
    { bytes: headerBytes, digest: first.digest },
    first.wraps,
    second.sealed,
  )

  for (const ciphertext of [mixed, resealed]) {
    assert.is(await codeOf(open(endpoint, { ...one, ciphertext })), 'ciphertext_invalid')
  }
})

test('threshold: v2 writes with the remaining ones after the hold time, never with fewer than the minimum', async ({
  clock,
  b,
  c,
  started,
  encrypt,
  open,
}) => {
  const endpoint = await started({ health: { protection: THRESHOLD } })
  fail(b)
  endpoint.nudge()
  await clock.advance(HOLD_MS + 5_000)

  const degraded = await encrypt(endpoint)

  assert.match(degraded.keyId, /^tr1-2of2-/)
  assert.equal(await open(endpoint, degraded), SEED)
  fail(c)
  endpoint.nudge()
  await clock.advance(HOLD_MS + 5_000)
  assert.is(endpoint.keyring.status(), degraded.keyId)
  assert.is(await codeOf(encrypt(endpoint)), 'unavailable')
})

test('a plaintext longer than a share is wrapped under threshold where the providers take a share', async ({
  a,
  b,
  c,
  started,
  call,
}) => {
  for (const each of [a, b, c]) Object.assign(each.limits, { plaintextBytes: 40 })
  const endpoint = await started({ health: { protection: THRESHOLD } })
  const plaintext = randomBytes(400)

  const made = await endpoint.keyring.encrypt({ api: 'v1beta1', plaintext }, call())

  const request = { api: 'v1beta1', ...made, keyId: undefined } as const
  assert.equal(Buffer.from(await endpoint.keyring.decrypt(request, call())), plaintext)
})

test('recipients are part of the key id and of v2 alone, and their annotation is bound to the envelope', async ({
  a,
  started,
  encrypt,
  open,
}) => {
  const bound: string[] = []
  const recovery: RecoverySealer = {
    thumbprints: ['A'.repeat(43)],
    seal: (_, boundTo) => {
      bound.push(Buffer.from(boundTo).toString('hex'))
      return Promise.resolve(Buffer.from('sealed'))
    },
  }
  const plain = await started({ providers: [a] })
  const endpoint = await started({ providers: [a], keyring: { recovery } })

  const made = await encrypt(endpoint)
  const v1 = await encrypt(endpoint, 'v1beta1')

  assert.is.not(made.keyId, plain.keyring.status())
  assert.equal(Object.keys(made.annotations), [RECOVERY_ANNOTATION])
  assert.equal(bound, [Buffer.from(decodeEnvelope(made.ciphertext).digest).toString('hex')])
  assert.equal(v1.annotations, {})
  assert.equal(await open(endpoint, made), SEED)
  assert.equal(await open(plain, made), SEED)
  const other = { ...made, annotations: { 'x.trousseau.io': Buffer.from('1') } }
  assert.is(await codeOf(open(endpoint, other)), 'request_invalid')
})

test('health says which part each provider has, and why the key id is what it is', async ({
  clock,
  events,
  b,
  started,
}) => {
  const endpoint = await started({ monitorOf: { 'fake:c': { decryptOnly: true } } })
  fail(b)
  endpoint.nudge()
  await clock.advance(HOLD_MS + 5_000)
  b.failure = undefined
  await clock.advance(5_000)

  const { providers, why, degradedSince } = events.of('health').at(-1) ?? {}
  assert.equal(
    providers?.map(({ id, role }) => [id, role]),
    [
      ['fake:a', 'writes'],
      ['fake:b', 'left_out'],
      ['fake:c', 'reads'],
    ],
  )
  const waits = (providers?.[1]?.joinsAt ?? 0) - clock.now()
  assert.ok(waits > RETURN_MS - 6_000 && waits <= RETURN_MS)
  assert.is(why, 'any of fake:a (v1); without fake:b, left out as not well')
  assert.ok((degradedSince ?? 0) > clock.now() - 20_000)
})

/** The header's bytes: what follows the magic, a tag and a length of two bytes at most. */
function headerOf(ciphertext: Uint8Array): Uint8Array {
  const first = ciphertext[3] ?? 0
  const long = first >= 128
  const length = long ? first - 128 + (ciphertext[4] ?? 0) * 128 : first
  const start = long ? 5 : 4
  return ciphertext.subarray(start, start + length)
}

test.run()
