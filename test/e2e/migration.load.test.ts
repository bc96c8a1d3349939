/**
 * From one key service to another and from one protection to another, by changes of the
 * config alone: step by step on one node under load, and at a given time on two nodes.
 *
 * @module
 */

import { mkdir } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import type { OpenedEnvelope } from '../../src/kms/envelope.ts'
import { figure } from '../_lib/figure.ts'
import { changeConfig } from '../_lib/plugin/config_change.ts'
import { KmsLoad } from '../_lib/plugin/kms_load.ts'
import { type PluginProcess, startPluginProcess } from '../_lib/plugin/process.ts'
import { clockFlags } from '../_lib/plugin/skewed_clock.ts'
import { rolesOf, statuszOf } from '../_lib/plugin/statusz_page.ts'
import {
  type KeyServices,
  type ServiceName,
  startKeyServices,
} from '../_lib/services/key_services.ts'
import { rejection, suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const KINDS = ['status', 'encrypt_v2', 'encrypt_v1', 'decrypt_v2', 'decrypt_v1'] as const
const TRIED = 20
const ANY = { mode: 'any', holdTime: '2s', returnTime: '3s' }
const THRESHOLD = { ...ANY, mode: 'threshold', k: 2 }
const AHEAD_MS = 12_000
const SKEW_MS = 40_000
const APART_MS = 1_000
/** Clocks are read in whole milliseconds, more than once. */
const MEASURE_MS = 10

interface Step {
  readonly what: string
  /** What each provider that is configured does. */
  readonly roles: Partial<Record<ServiceName, 'writes' | 'reads'>>
  readonly protection: typeof ANY | typeof THRESHOLD
}

const ONE = { what: 'one', roles: { a: 'writes' }, protection: ANY } as const
const STEPS: readonly Step[] = [
  { what: 'another is read', roles: { a: 'writes', b: 'reads' }, protection: ANY },
  { what: 'both write', roles: { a: 'writes', b: 'writes' }, protection: ANY },
  { what: 'the first is only read', roles: { a: 'reads', b: 'writes' }, protection: ANY },
  { what: 'the first is gone', roles: { b: 'writes' }, protection: ANY },
  { what: 'the first is read again', roles: { a: 'reads', b: 'writes' }, protection: ANY },
  { what: 'both write again', roles: { a: 'writes', b: 'writes' }, protection: ANY },
  {
    what: 'a third is read',
    roles: { a: 'writes', b: 'writes', local: 'reads' },
    protection: ANY,
  },
  {
    what: 'two of three',
    roles: { a: 'writes', b: 'writes', local: 'writes' },
    protection: THRESHOLD,
  },
  {
    what: 'two of two',
    roles: { a: 'writes', b: 'writes', local: 'reads' },
    protection: THRESHOLD,
  },
  {
    what: 'any of three',
    roles: { a: 'writes', b: 'writes', local: 'writes' },
    protection: ANY,
  },
  {
    what: 'back to the first',
    roles: { a: 'writes', b: 'reads', local: 'reads' },
    protection: ANY,
  },
]

const test = suite('e2e/migration', () => ({}))

function configOf(services: KeyServices, { roles, protection }: Omit<Step, 'what'>) {
  const providers = namesOf(roles).map((name) => ({
    ...services[name].provider,
    decryptOnly: roles[name] === 'reads',
  }))
  const admin = { listen: `unix://${services.folder.at('admin.sock')}` }
  return { providers, protection, health: { interval: '1s' }, admin }
}

function namesOf(roles: Step['roles']): ServiceName[] {
  return (['a', 'b', 'local'] as const).filter((name) => roles[name] !== undefined)
}

function keyIdOf({ client }: PluginProcess): Promise<string> {
  return client.v2.status().then(({ keyId }) => keyId)
}

test('from one provider to another, to both, to two of three and back, with no request failed and everything ever made still open', async () => {
  await using services = await startKeyServices()
  await using plugin = await startPluginProcess({
    folder: services.folder.path,
    config: configOf(services, ONE),
  })
  const first = await until('it is healthy', () => keyIdOf(plugin).catch(() => undefined))
  let configured = new Set<string>()
  const opens = ({ k, members }: OpenedEnvelope) =>
    members.filter(({ providerId }) => configured.has(providerId)).length >= k
  await using load = new KmsLoad(plugin.socketPath, { opens })
  const idsOf = (names: readonly ServiceName[]) => names.map((name) => services[name].provider.id)

  configured = new Set(idsOf(['a']))
  await settled(load, ONE, idsOf(['a']))
  for (const step of STEPS) {
    const names = namesOf(step.roles)
    const ids = new Set(idsOf(names))
    // What goes is not counted on from before the change, what comes from after it.
    configured = new Set([...configured].filter((id) => ids.has(id)))
    await changeConfig(plugin, configOf(services, step))
    await until(`${step.what}: it is in force`, async () => {
      const roles = rolesOf(await statuszOf(services.folder.at('admin.sock')))
      return JSON.stringify(roles) === JSON.stringify(step.roles)
    })
    configured = ids
    await settled(load, step, idsOf(names.filter((name) => step.roles[name] === 'writes')))
    if (!names.includes('a')) await checkClosed(plugin, load)
  }

  await load.stop()
  assert.is(await keyIdOf(plugin), first, 'the key id of the first config')
  assert.equal(plugin.events('config_refused'), [])
  for (const { ciphertext, keyId, annotations, api, plaintext } of load.kept) {
    const opened =
      api === 'v1'
        ? (await plugin.client.v1.decrypt(ciphertext)).plain
        : (await plugin.client.v2.decrypt({ ciphertext, keyId, annotations, uid: 'kept' }))
            .plaintext
    assert.equal([...opened], [...plaintext], keyId)
  }
  const gaps = KINDS.map((kind) => `${kind} ${load.longestGapMs(kind)} ms`).join(', ')
  figure(
    `${STEPS.length} changes of config, ${load.attempts.length} requests, none failed; longest gap of ${gaps}`,
  )
})

/** Everything works, and what is encrypted is spread as the config says. */
async function settled(load: KmsLoad, step: Step, ids: readonly string[]): Promise<void> {
  const { what, protection } = step
  const since = performance.now()
  await until(`${what}: the load goes on`, () =>
    KINDS.every((kind) => load.of(kind, since).length >= TRIED),
  )
  for (const kind of KINDS) assert.equal(load.failures(kind), [], `${what}: ${kind}`)
  assert.equal(load.wrong, [])
  const said = new Set(load.of('status', since).map(({ keyId }) => keyId))
  assert.is(said.size, 1, `${what}: one key id`)
  const made = load.kept.findLast(({ keyId }) => said.has(keyId))
  assert.is(made?.envelope.scheme, protection.mode, what)
  assert.equal(
    made?.envelope.members.map(({ providerId }) => providerId),
    ids.toSorted(),
    what,
  )
}

/** What only a provider wrapped that is configured no more is refused with the reason. */
async function checkClosed({ client }: PluginProcess, load: KmsLoad): Promise<void> {
  const only = load.kept.find(({ api, envelope }) => api === 'v2' && envelope.members.length === 1)
  if (only === undefined) throw new Error('Nothing was made by one provider alone')
  const { ciphertext, keyId, annotations } = only
  const error = await rejection(
    client.v2.decrypt({ ciphertext, keyId, annotations, uid: 'closed' }),
  )
  assert.match((error as Error).message, /^No configured provider has an id that this ciphertext/)
}

test(`activeFrom on two nodes, one with a clock off by ${SKEW_MS / 1_000} s: rolled out one after the other, both begin to write within a second`, async () => {
  await using services = await startKeyServices()
  const nodes = await startNodes(services)
  await using _end = { [Symbol.asyncDispose]: () => stopAll(nodes) }
  const { a, b } = services
  const common = { health: { interval: '1s' } }
  const before = await Promise.all(nodes.map(keyIdOf))
  assert.is(before[0], before[1])

  const reads = [a.provider, { ...b.provider, decryptOnly: true }]
  await rollOut(nodes, { ...common, providers: reads })
  const at = new Date(Date.now() + AHEAD_MS)
  const waits = [a.provider, { ...b.provider, activeFrom: at.toISOString() }]
  await rollOut(nodes, { ...common, providers: waits })
  assert.equal(await Promise.all(nodes.map(keyIdOf)), before, 'the same until then')
  assert.ok(Date.now() < at.getTime(), 'rolled out in time')

  const changes = await Promise.all(
    nodes.map((node) =>
      until('it begins to write', async () => {
        const keyId = await keyIdOf(node)
        return keyId === before[0] ? undefined : { keyId, at: Date.now() }
      }),
    ),
  )

  const times = changes.map((change) => change.at)
  const apartMs = Math.max(...times) - Math.min(...times)
  const lateMs = Math.min(...times) - at.getTime()
  figure(`activeFrom: the nodes changed ${apartMs} ms apart, the first ${lateMs} ms after the time`)
  assert.is(new Set(changes.map(({ keyId }) => keyId)).size, 1)
  assert.match(changes[0]?.keyId ?? '', /^tr1-any-v1\+v1-/)
  assert.ok(apartMs < APART_MS, `${apartMs} ms apart`)
  assert.ok(lateMs > -MEASURE_MS, `${lateMs} ms after the time`)
})

async function startNodes({ folder, a }: KeyServices): Promise<PluginProcess[]> {
  const start = async (name: string, nodeFlags: readonly string[]) => {
    await mkdir(folder.at(name))
    const config = { providers: [a.provider], health: { interval: '1s' } }
    return await startPluginProcess({ folder: folder.at(name), nodeFlags, config })
  }
  const nodes = await Promise.all([
    start('one', []),
    start('two', await clockFlags(folder, SKEW_MS)),
  ])
  await Promise.all(
    nodes.map((node) => until('it is healthy', () => keyIdOf(node).catch(() => undefined))),
  )
  return nodes
}

async function stopAll(nodes: readonly PluginProcess[]): Promise<void> {
  await Promise.all(nodes.map((node) => node[Symbol.asyncDispose]()))
}

/** Node by node, as a roll-out goes. */
async function rollOut(
  nodes: readonly PluginProcess[],
  config: Readonly<Record<string, unknown>>,
): Promise<void> {
  for (const node of nodes) {
    const before = node.events('config_reloaded').length
    await changeConfig(node, config)
    await until('it is in force', () => node.events('config_reloaded').length > before)
  }
}

test.run()
