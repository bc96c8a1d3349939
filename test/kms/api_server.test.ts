/** Rotation, outages and restarts as clusters see them, in hours of virtual time. */

import * as assert from 'uvu/assert'
import { KmsError, type KmsErrorCode } from '../../src/base/errors.ts'
import { FakeClock } from '../_lib/fake_clock.ts'
import { ApiServerV1, type Etcd } from '../_lib/kms/api_server_model.ts'
import { FakeProvider } from '../_lib/kms/fake_provider.ts'
import type { VirtualEndpointOptions } from '../_lib/kms/virtual_endpoint.ts'
import { MemoryStore, VirtualNode } from '../_lib/kms/virtual_node.ts'
import { rejection, suite } from '../_lib/uvu.ts'

const SECOND = 1_000
const MINUTE = 60_000
const HOLD_MS = 15 * MINUTE
const DELAY_MS = 5 * MINUTE
const DAY_S = 86_400

const test = suite('kms/api_server', () => {
  const clock = new FakeClock()
  const etcd: Etcd = new Map()
  const provider = new FakeProvider('fake:one', clock.now() / SECOND - DAY_S)
  Object.defineProperty(provider, 'serviceTime', { get: () => clock.now() })
  const node = async (options: Partial<VirtualEndpointOptions> & { skewMs?: number } = {}) => {
    const made = new VirtualNode(clock, etcd, [provider], {
      monitor: { activationDelayMs: DELAY_MS },
      ...options,
    })
    await made.startPlugin()
    await made.server.start()
    return made
  }
  /** Its key has had a second version for an hour. */
  const rotated = async () => {
    provider.addVersion('2', clock.now() / SECOND - 3_600)
    return await node()
  }
  const turnOf = async ({ server }: VirtualNode, name: string, value: string) => {
    const failed: string[] = []
    try {
      server.write(`/registry/secrets/${name}/${clock.monotonic()}`, value)
    } catch (error) {
      failed.push(String(error))
    }
    return (await server.ready()) ? failed : [...failed, 'not ready']
  }
  /** Writes each second and looks at readiness; returns what failed. */
  const live = async (nodes: readonly VirtualNode[], ms: number) => {
    const failed: string[] = []
    const end = clock.monotonic() + ms
    for (let turn = 0; clock.monotonic() < end; turn += 1) {
      for (const [at, one] of nodes.entries()) {
        failed.push(...(await turnOf(one, String(at), `value ${turn}`)))
      }
      await clock.advance(SECOND)
    }
    return failed
  }
  const readAll = async ({ server }: VirtualNode) => {
    let read = 0
    for (const key of etcd.keys()) {
      await server.read(key)
      read += 1
    }
    return read
  }
  return { clock, etcd, provider, node, rotated, live, readAll }
})

function fail(provider: FakeProvider, code: KmsErrorCode): void {
  provider.failure = new KmsError(`Seeded ${code}`, { code })
}

test('an outage of ten minutes loses no write and no readiness, and a restarted API server reads all [S12]', async ({
  provider,
  node,
  live,
  readAll,
}) => {
  const one = await node()
  assert.equal(await live([one], MINUTE), [])

  fail(provider, 'unavailable')
  assert.equal(await live([one], 10 * MINUTE), [])
  provider.failure = undefined
  assert.equal(await live([one], MINUTE), [])

  assert.is(await readAll(one), 12 * 60)
  one.server = one.newServer()
  await one.server.start()
  assert.is(await readAll(one), 12 * 60)
  assert.equal(one.server.violations, [])
})

test('after the hold readiness goes and writes stop within three minutes, and both come back by themselves', async ({
  clock,
  provider,
  node,
  live,
}) => {
  const one = await node()
  fail(provider, 'timeout')
  assert.equal(await live([one], HOLD_MS - MINUTE), [])

  const failed = await live([one], 6 * MINUTE)
  assert.ok(failed.includes('not ready'))
  assert.ok(failed.includes('Error: Write: the seed expired'))
  provider.failure = undefined
  await clock.advance(15 * SECOND)

  assert.equal(await live([one], MINUTE), [])
})

test('an API server that restarts in an outage reads and writes nothing, and all again once it is over', async ({
  clock,
  provider,
  node,
  live,
  readAll,
}) => {
  const one = await node()
  await live([one], MINUTE)
  fail(provider, 'unavailable')
  await clock.advance(MINUTE)
  one.server = one.newServer()
  await one.server.start()
  assert.throws(() => one.server.write('/k', 'v'), /no seed yet/)
  assert.not.ok(await one.server.ready())

  provider.failure = undefined
  await clock.advance(20 * SECOND)

  assert.equal(await live([one], MINUTE), [])
  assert.is(await readAll(one), 120)
  assert.ok(one.server.calls.decrypt <= 2, 'one Decrypt a seed')
})

test('a denied key stops Status at the next look, and writes at the latest three minutes later', async ({
  clock,
  provider,
  node,
  live,
}) => {
  const one = await node()
  fail(provider, 'denied')
  one.endpoint?.nudge()
  await clock.advance(SECOND)

  assert.throws(() => one.endpoint?.keyring.status(), /Seeded denied/)
  await live([one], 4 * MINUTE)
  assert.throws(() => one.server.write('/k', 'v'), /the seed expired/)
})

test('a rotation reaches two API servers with clocks a minute apart within a second, and both read all [R1 R2 R6]', async ({
  clock,
  provider,
  etcd,
  node,
  live,
  readAll,
}) => {
  const nodes = [await node({ skewMs: 40_000 }), await node({ skewMs: -20_000 })]
  await live(nodes, MINUTE)
  provider.addVersion('2', clock.now() / SECOND)
  const ids = () => nodes.map(({ endpoint }) => endpoint?.keyring.status())
  let switched: number | undefined
  let apart = 0

  const end = clock.monotonic() + DELAY_MS + 5 * SECOND
  while (clock.monotonic() < end) {
    await clock.advance(100)
    const [a, b] = ids()
    if (a !== b) apart += 100
    if (a === b && a?.includes('-v2-') && switched === undefined) switched = clock.monotonic()
  }

  assert.ok(apart <= SECOND, `${apart} ms apart`)
  assert.ok((switched ?? 0) > 0, 'switched')
  assert.equal(await live(nodes, 3 * MINUTE), [])
  const stored = new Set([...etcd.values()].map(({ keyId }) => keyId))
  assert.is(stored.size, 2)
  for (const one of nodes) {
    await readAll(one)
    assert.is(one.server.races, 0)
    assert.equal(one.server.violations, [])
  }
})

test('a clock that is ten minutes wrong changes nothing where the service tells its time', async ({
  clock,
  provider,
  node,
}) => {
  const one = await node({ skewMs: 10 * MINUTE })
  provider.addVersion('2', clock.now() / SECOND)

  await clock.advance(DELAY_MS - SECOND)
  assert.match(one.endpoint?.keyring.status() ?? '', /-v1-/)
  await clock.advance(2 * SECOND)

  assert.match(one.endpoint?.keyring.status() ?? '', /-v2-/)
})

test('a disabled version is left at the next look, and what it encrypted stays readable', async ({
  clock,
  provider,
  rotated,
  live,
  readAll,
}) => {
  const one = await rotated()
  await live([one], MINUTE)
  provider.change('2', { mayEncrypt: false })
  await clock.advance(2 * MINUTE)

  assert.match(one.server.keyId ?? '', /-v1-/)
  assert.equal(await live([one], MINUTE), [])
  await readAll(one)
})

test('a plugin that restarts in an outage keeps the cluster ready with a store, and not without', async ({
  clock,
  provider,
  node,
}) => {
  for (const [store, wanted] of [
    [new MemoryStore(), true],
    [undefined, false],
  ] as const) {
    provider.failure = undefined
    const one = await node(store === undefined ? {} : { store })
    fail(provider, 'unavailable')
    await clock.advance(MINUTE)
    one.stopPlugin()
    await clock.advance(30 * SECOND)
    await one.startPlugin()
    await clock.advance(30 * SECOND)

    assert.is(await one.server.ready(), wanted)
    one.stopPlugin()
    one.server.stop()
  }
})

test('a replica that lags keeps the key id, and nothing is lost', async ({
  provider,
  rotated,
  live,
  readAll,
}) => {
  const one = await rotated()
  const { keyId } = one.server
  const all = provider.versions
  provider.versions = all.slice(0, 1)
  assert.equal(await live([one], 5 * MINUTE), [])
  assert.is(one.server.keyId, keyId)
  provider.versions = all

  assert.equal(await live([one], MINUTE), [])
  await readAll(one)
})

test('a key made again gets another key id, and what the old one wrapped is an error and never garbage', async ({
  clock,
  etcd,
  provider,
  node,
  live,
}) => {
  const one = await node()
  await live([one], MINUTE)
  const old = [...etcd.keys()]
  const before = one.server.keyId
  provider.versions = []
  provider.addVersion('1', clock.now() / SECOND)
  await clock.advance(2 * MINUTE)
  await live([one], MINUTE)
  assert.is.not(one.server.keyId, before)

  const restarted = one.newServer()
  await restarted.start()

  assert.instance(await rejection(restarted.read(old[0] ?? '')), KmsError)
  assert.is(await restarted.read([...etcd.keys()].at(-1) ?? ''), 'value 59')
})

test('no Status, however often, asks the key service', async ({ provider, node, live }) => {
  const one = await node()
  const before = { ...provider.calls }

  await live([one], 10 * MINUTE)

  assert.is(provider.calls.wrap - before.wrap, provider.calls.keyState - before.keyState)
  assert.ok(provider.calls.keyState - before.keyState <= 27, 'the health loop alone')
})

test('v1: an outage fails writes and keeps what was read; all is read after a restart', async ({
  clock,
  provider,
  node,
}) => {
  const one = await node()
  const v1 = new ApiServerV1({ clock, plugin: () => one.endpoint?.keyring })
  for (let turn = 0; turn < 20; turn += 1) await v1.write(`/k/${turn}`, `v${turn}`)

  fail(provider, 'unavailable')
  assert.instance(await rejection(v1.write('/k/x', 'v')), KmsError)
  assert.is(await v1.read('/k/3'), 'v3')
  v1.restart()
  assert.instance(await rejection(v1.read('/k/3')), KmsError)

  provider.failure = undefined
  for (let turn = 0; turn < 20; turn += 1) assert.is(await v1.read(`/k/${turn}`), `v${turn}`)
})

test.run()
