import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import * as assert from 'uvu/assert'
import { KmsError, type KmsErrorCode } from '../../src/base/errors.ts'
import { decodeEnvelope } from '../../src/kms/envelope.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { FakeClock, settle } from '../_lib/fake_clock.ts'
import { FakeProvider } from '../_lib/kms/fake_provider.ts'
import { VirtualEndpoint } from '../_lib/kms/virtual_endpoint.ts'
import { rejection, suite } from '../_lib/uvu.ts'

const SEED = Buffer.from('0123456789abcdef0123456789abcdef')

const test = suite('kms/keyring', async () => {
  const clock = new FakeClock()
  const events = new RecordedEvents()
  const provider = new FakeProvider('fake:one', clock.now() / 1000 - 86_400)
  const endpoint = new VirtualEndpoint({ clock, events, providers: [provider] })
  await endpoint.start()
  const call = { signal: new AbortController().signal, deadline: clock.monotonic() + 2_500 }
  const { keyring, health } = endpoint
  return { clock, events, provider, call, keyring, health, endpoint }
})

async function codeOf(promise: Promise<unknown>): Promise<KmsErrorCode> {
  const error = await rejection(promise)
  assert.instance(error, KmsError)
  return (error as KmsError).code
}

for (const api of ['v2', 'v1beta1'] as const) {
  for (const size of [1, 4, 16, 24, 32, 200]) {
    test(`decrypt() gives back ${size} bytes of ${api} [D1 E1 V2]`, async ({ keyring, call }) => {
      const plaintext = randomBytes(size)

      const { ciphertext, keyId, annotations } = await keyring.encrypt({ api, plaintext }, call)
      const given = api === 'v2' ? keyId : undefined
      const opened = await keyring.decrypt({ api, ciphertext, keyId: given, annotations }, call)

      assert.equal(Buffer.from(opened), plaintext)
    })
  }
}

test('encrypt() answers the key id of status() and names the version inside [E3 E4 S8]', async ({
  keyring,
  call,
}) => {
  const reply = await keyring.encrypt({ api: 'v2', plaintext: SEED }, call)

  assert.is(reply.keyId, keyring.status())
  assert.is(decodeEnvelope(reply.ciphertext).keyId, reply.keyId)
})

for (const failure of [undefined, new KmsError('Seeded', { code: 'denied' })]) {
  const what = failure === undefined ? 'encrypts' : 'is refused'
  test(`encrypt() that comes before the first answer of a key service waits for it and ${what} [F2]`, async ({
    clock,
    events,
    provider,
    call,
  }) => {
    const later = new VirtualEndpoint({ clock, events, providers: [provider] })
    const { promise: looked, resolve: look } = Promise.withResolvers<void>()
    provider.pause = () => looked
    const started = later.start()
    await settle()
    const encrypted = later.keyring.encrypt({ api: 'v1beta1', plaintext: SEED }, call)
    assert.throws(() => later.keyring.status(), /^Not ready yet/)
    if (failure !== undefined) provider.failure = failure
    look()

    if (failure === undefined) assert.ok((await encrypted).ciphertext.length > 0)
    else assert.match(String(await rejection(encrypted)), /Not ready yet: Seeded/)
    await started
    later.stop()
  })
}

test('encrypt() makes another ciphertext each time [E9]', async ({ keyring, call }) => {
  const made = await Promise.all(
    Array.from({ length: 50 }, () => keyring.encrypt({ api: 'v2', plaintext: SEED }, call)),
  )

  assert.is(new Set(made.map(({ ciphertext }) => Buffer.from(ciphertext).toString('hex'))).size, 50)
})

test('encrypt() makes 1024 bytes at most for v2 and refuses what would be longer [E2]', async ({
  keyring,
  call,
}) => {
  let longest = 0
  for (let size = 800; size <= 1_100; size += 1) {
    try {
      const plaintext = randomBytes(size)
      const { ciphertext } = await keyring.encrypt({ api: 'v2', plaintext }, call)
      assert.ok(ciphertext.length <= 1_024)
      longest = Math.max(longest, ciphertext.length)
    } catch (error) {
      assert.is((error as KmsError).code, 'request_invalid')
    }
  }
  assert.is(longest, 1_024)
})

test('encrypt() refuses a v1beta1 plaintext past the limit of the provider [V3]', async ({
  keyring,
  call,
}) => {
  const plaintext = randomBytes(4_097)

  assert.is(await codeOf(keyring.encrypt({ api: 'v1beta1', plaintext }, call)), 'request_invalid')
})

test('encrypt() fails and asks for a look when the provider fails [E14]', async ({
  clock,
  provider,
  keyring,
  health,
  call,
}) => {
  provider.failure = new KmsError('Gone', { code: 'unavailable' })

  assert.is(await codeOf(keyring.encrypt({ api: 'v2', plaintext: SEED }, call)), 'unavailable')
  await clock.advance(600)
  assert.is(health.problem(), 'Gone')
})

test('encrypt() refuses an empty answer of a provider', async ({ provider, keyring, call }) => {
  provider.wrap = () => Promise.resolve([{ ok: true, value: new Uint8Array() }])

  assert.is(await codeOf(keyring.encrypt({ api: 'v2', plaintext: SEED }, call)), 'protocol')
})

test('decrypt() refuses any other key id before it asks a provider [D3 D5]', async ({
  provider,
  keyring,
  call,
}) => {
  const { ciphertext, keyId } = await keyring.encrypt({ api: 'v2', plaintext: SEED }, call)
  const asked = provider.calls.unwrap

  for (const wrong of ['', 'x', `${keyId}x`, keyId.slice(0, -1), keyId.replace('v1', 'v2')]) {
    const request = { api: 'v2', ciphertext, keyId: wrong, annotations: {} } as const
    assert.is(await codeOf(keyring.decrypt(request, call)), 'key_unknown')
  }
  assert.is(provider.calls.unwrap, asked)
})

test('decrypt() refuses an annotation that Trousseau never makes [D10]', async ({
  keyring,
  call,
}) => {
  const { ciphertext, keyId } = await keyring.encrypt({ api: 'v2', plaintext: SEED }, call)
  const annotations = { 'other.example.org': Uint8Array.of(1) }

  assert.is(
    await codeOf(keyring.decrypt({ api: 'v2', ciphertext, keyId, annotations }, call)),
    'request_invalid',
  )
})

test('decrypt() refuses every flipped bit [E10]', async ({ keyring, call }) => {
  const { ciphertext } = await keyring.encrypt({ api: 'v2', plaintext: SEED }, call)

  for (let bit = 0; bit < ciphertext.length * 8; bit += 1) {
    const flipped = Uint8Array.from(ciphertext)
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    const request = {
      api: 'v1beta1',
      ciphertext: flipped,
      keyId: undefined,
      annotations: {},
    } as const
    const code = await codeOf(keyring.decrypt(request, call))
    assert.ok(['ciphertext_invalid', 'key_unknown', 'key_unavailable'].includes(code), code)
  }
})

test('decrypt() refuses a wrap moved into another envelope [D5]', async ({ keyring, call }) => {
  const [one, two] = await Promise.all([
    keyring.encrypt({ api: 'v2', plaintext: SEED }, call),
    keyring.encrypt({ api: 'v2', plaintext: SEED }, call),
  ])
  const wrapBytes = SEED.length + 28
  const mixed = Buffer.concat([
    one.ciphertext.subarray(0, -wrapBytes),
    two.ciphertext.subarray(-wrapBytes),
  ])
  const request = { api: 'v2', ciphertext: mixed, keyId: one.keyId, annotations: {} } as const

  assert.is(await codeOf(keyring.decrypt(request, call)), 'ciphertext_invalid')
})

test('decrypt() opens an older version after a rotation, also while nothing may encrypt [D4 D6]', async ({
  clock,
  provider,
  keyring,
  endpoint,
  call,
}) => {
  const old = await keyring.encrypt({ api: 'v2', plaintext: SEED }, call)
  provider.addVersion('2', clock.now() / 1000)
  await endpoint.probe()
  assert.is.not(keyring.status(), old.keyId)
  for (const label of ['1', '2']) provider.change(label, { mayEncrypt: false })
  await endpoint.probe()
  assert.throws(() => keyring.status())

  const opened = await keyring.decrypt({ api: 'v2', ...old }, call)

  assert.equal(Buffer.from(opened), SEED)
})

test('decrypt() works before the first look of the health loop [D6 F1]', async ({
  clock,
  events,
  provider,
  keyring,
  call,
}) => {
  const made = await keyring.encrypt({ api: 'v2', plaintext: SEED }, call)
  const restarted = new VirtualEndpoint({ clock, events, providers: [provider] }).keyring

  assert.equal(Buffer.from(await restarted.decrypt({ api: 'v2', ...made }, call)), SEED)
})

test('decrypt() names a provider that is not configured', async ({
  clock,
  events,
  keyring,
  call,
}) => {
  const made = await keyring.encrypt({ api: 'v2', plaintext: SEED }, call)
  const other = new VirtualEndpoint({ clock, events, providers: [new FakeProvider('fake:other')] })
    .keyring

  assert.is(await codeOf(other.decrypt({ api: 'v2', ...made }, call)), 'key_unknown')
})

test('two providers each wrap the whole, and either one opens it', async ({
  clock,
  events,
  call,
}) => {
  const providers = ['fake:b', 'fake:a'].map((id) => new FakeProvider(id, 1_000))
  const endpoint = new VirtualEndpoint({ clock, events, providers })
  const { keyring } = endpoint
  await endpoint.start()
  const made = await keyring.encrypt({ api: 'v2', plaintext: SEED }, call)

  for (const down of providers) {
    for (const provider of providers) provider.failure = undefined
    down.failure = new KmsError('Gone', { code: 'unavailable' })
    assert.equal(Buffer.from(await keyring.decrypt({ api: 'v2', ...made }, call)), SEED)
  }
})

test.run()
