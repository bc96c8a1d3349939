/** Every number of docs/requests.md that stands in a table or in bold is counted here. @module */

import { Buffer } from 'node:buffer'
import { access, readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import type { KmsError } from '../../src/base/errors.ts'
import { TokenSource } from '../../src/remote/token_source.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { FakeClock } from '../_lib/fake_clock.ts'
import { FakeProvider } from '../_lib/kms/fake_provider.ts'
import { ANY_PROTECTION, VirtualEndpoint } from '../_lib/kms/virtual_endpoint.ts'
import { suite } from '../_lib/uvu.ts'
import {
  type CountedService,
  countedAws,
  countedAzure,
  countedGoogle,
  countedVault,
  LIMIT_MS,
  patientClock,
  type Trouble,
} from './counted_services.ts'

const ROOT = new URL('../../', import.meta.url)
const PAGE = await readFile(new URL('docs/requests.md', ROOT), 'utf8')
const HOUR_MS = 3_600_000
const SEED = Buffer.from('0123456789abcdef0123456789abcdef')
const DIGEST = Buffer.alloc(32, 1)

const SERVICES: readonly (readonly [type: string, start: () => Promise<CountedService>])[] = [
  ['vault', countedVault],
  ['awskms', countedAws],
  ['azurekms', countedAzure],
  ['gcpkms', countedGoogle],
]

const test = suite('docs/requests', () => ({}), 120_000)

/** The cells of the row that begins so, without the first. */
function row(begins: string): string[] {
  const line = PAGE.split('\n').find((each) => each.startsWith(`| ${begins}`))
  assert.ok(line, begins)
  return line
    .split('|')
    .slice(2, -1)
    .map((cell) => cell.trim())
}

function call() {
  return { signal: new AbortController().signal, deadline: LIMIT_MS }
}

function endpointOver({ provider }: CountedService): VirtualEndpoint {
  const monitor = { requestTimeoutMs: LIMIT_MS }
  const events = new RecordedEvents()
  return new VirtualEndpoint({ clock: patientClock, events, providers: [provider], monitor })
}

async function counted(service: CountedService, work: () => unknown): Promise<number> {
  const before = service.requests()
  await work()
  return service.requests() - before
}

for (const [at, [type, start]] of SERVICES.entries()) {
  test(`${type}: Status, Encrypt, Decrypt and a probe ask as often as the page says`, async () => {
    await using service = await start()
    const endpoint = endpointOver(service)
    await endpoint.start()
    const { keyring } = endpoint
    const status = await counted(service, () => {
      for (let turn = 0; turn < 100; turn += 1) keyring.status()
    })
    const encrypt = () => keyring.encrypt({ api: 'v2', plaintext: SEED }, call())
    const encrypted = await counted(service, encrypt)
    const made = await encrypt()
    const decrypted = await counted(service, () => keyring.decrypt({ api: 'v2', ...made }, call()))
    const probed = await counted(service, () => endpoint.probe())
    endpoint.stop()

    const said = ['Status', 'an Encrypt', 'a Decrypt', 'a probe'].map((what) => row(what)[at])
    assert.equal([status, encrypted, decrypted, probed].map(String), said)
    const [fewest, most] = PROBES
    assert.is(row('an hour of idling')[at], `${fewest * probed} to ${most * probed}`)
  })

  const troubles: readonly (readonly [trouble: Trouble, begins: string])[] = [
    ['limited', 'limits the rate'],
    ['failing', 'fails (500)'],
    ['denied', 'refuses the token'],
    ['refused', 'refuses the request'],
  ]
  for (const [trouble, begins] of troubles) {
    test(`${type}: one Encrypt asks as often as the page says where the service ${begins}`, async () => {
      await using service = await start()
      const version = await newest(service)
      service.answer(trouble)

      const first = await counted(service, () => encryptFails(service, version))
      const again = await counted(service, () => encryptFails(service, version))

      assert.is(String(first), row(begins)[at])
      const wanted = trouble === 'denied' ? row('the same within 4 s')[at] : String(first)
      assert.is(String(again), wanted)
    })
  }
}

async function newest({ provider }: CountedService): Promise<string> {
  const { versions } = await provider.keyState(call())
  return versions.at(-1)?.label ?? ''
}

async function encryptFails({ provider }: CountedService, version: string): Promise<void> {
  const item = { plaintext: SEED, associatedData: DIGEST }
  const outcomes = await provider
    .wrap(version, [item], call())
    .catch((error: KmsError) => [{ ok: false, error }])
  assert.equal(
    outcomes.map(({ ok }) => ok),
    [false],
  )
}

/** The fewest and the most in an hour. */
const PROBES = [120, 150] as const

for (const [at, byte] of [0, 255].entries()) {
  test(`the page has the ${at === 0 ? 'fewest' : 'most'} probes of an hour`, async () => {
    const clock = new FakeClock({ quick: true })
    const provider = new FakeProvider()
    const endpoint = new VirtualEndpoint({
      clock,
      events: new RecordedEvents(),
      providers: [provider],
      random: (bytes) => new Uint8Array(bytes).fill(byte),
    })
    await endpoint.start()
    const before = provider.calls.keyState
    await clock.advance(HOUR_MS)
    endpoint.stop()

    assert.is(provider.calls.keyState - before, PROBES[at])
    assert.match(PAGE, `| an hour of idling: ${PROBES.join(' to ')} probes |`)
  })
}

for (const [at, protection] of [
  ANY_PROTECTION,
  { ...ANY_PROTECTION, scheme: 'threshold', k: 2, minimum: 2 } as const,
].entries()) {
  test(`three key services under ${protection.scheme} are asked as often as the page says`, async () => {
    const clock = new FakeClock()
    const providers = ['fake:a', 'fake:b', 'fake:c'].map((id) => new FakeProvider(id))
    const endpoint = new VirtualEndpoint({
      clock,
      events: new RecordedEvents(),
      providers,
      health: { protection },
    })
    await endpoint.start()
    const asked = (what: 'wrap' | 'unwrap') =>
      providers.reduce((sum, { calls }) => sum + calls[what], 0)
    const [wraps, unwraps] = [asked('wrap'), asked('unwrap')]
    const made = await endpoint.keyring.encrypt({ api: 'v2', plaintext: SEED }, call())
    assert.equal(Buffer.from(await endpoint.keyring.decrypt({ api: 'v2', ...made }, call())), SEED)
    endpoint.stop()

    assert.equal([asked('wrap') - wraps, asked('unwrap') - unwraps].map(String), [
      SECOND_TABLE[0]?.[at],
      SECOND_TABLE[1]?.[at],
    ])
  })
}

/** Its rows begin as those of the first table do. */
const SECOND_TABLE = ['| an Encrypt |', '| a Decrypt |'].map((begins) =>
  PAGE.split('\n')
    .filter((line) => line.startsWith(begins))
    .at(-1)
    ?.split('|')
    .slice(2, -1)
    .map((cell) => cell.trim()),
)

test('three nodes of one Vault are asked as often as the page says', async () => {
  await using service = await countedVault(3)
  const endpoint = endpointOver(service)
  await endpoint.start()
  const probed = await counted(service, () => endpoint.probe())
  endpoint.stop()
  const version = await newest(service)
  service.answer('failing')

  const sent = await counted(service, () => encryptFails(service, version))

  assert.match(PAGE, `is sent **${sent}** times`)
  assert.match(PAGE, `is **${probed}** requests`)
})

test('a token is renewed as often as the page says', async () => {
  const renewals: number[] = []
  for (const random of [0.999, 0]) {
    const clock = new FakeClock({ quick: true })
    const token = { value: 'one', ttlSeconds: 3_600, renewable: true }
    let renewed = 0
    const login = () => Promise.resolve(token)
    const tokens = new TokenSource(
      {
        name: 'fake',
        prepare: () => Promise.resolve({ fingerprint: '', login }),
        renew() {
          renewed += 1
          return Promise.resolve(token)
        },
      },
      {
        clock,
        events: new RecordedEvents(),
        random: () => random,
        provider: 'fake',
        requestTimeoutMs: LIMIT_MS,
      },
    )
    await tokens.run(() => Promise.resolve(), call())
    await clock.advance(24 * HOUR_MS)
    tokens.close()
    renewals.push(renewed)
  }

  assert.match(PAGE, `of an hour's life **${renewals.join(' to ')}** times a day`)
})

test('the page names files that are there', async () => {
  const paths = [...PAGE.matchAll(/`((?:src|test)\/[\w./]+)`/g)].map(([, path = '']) => path)

  assert.ok(paths.length > 15)
  for (const path of paths) await access(new URL(path, ROOT))
})

test.run()
