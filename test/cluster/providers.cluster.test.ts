/**
 * From one key service to two, to two of three, and back to one, by changes of the
 * plugin's config under a cluster that goes on writing and reading: after each step
 * everything is rewritten, and etcd shows whose wraps it holds.
 *
 * @module
 */

import { rm } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { decodeEnvelope } from '../../src/kms/envelope.ts'
import { encryptionOf, startApiServer } from '../_lib/cluster/api_server.ts'
import { type Etcd, startEtcd } from '../_lib/cluster/etcd.ts'
import { pokeHealth, untilWrittenUnder } from '../_lib/cluster/key_id_change.ts'
import type { KubeApi } from '../_lib/cluster/kube_api.ts'
import { rewriteAll } from '../_lib/cluster/rewrite.ts'
import { SecretLoad } from '../_lib/cluster/secret_load.ts'
import { readStoredV2 } from '../_lib/cluster/stored.ts'
import { figure } from '../_lib/figure.ts'
import { changeConfig, outcomeOf } from '../_lib/plugin/config_change.ts'
import { type PluginProcess, startWellPlugin } from '../_lib/plugin/process.ts'
import {
  type KeyServices,
  type ServiceName,
  startKeyServices,
} from '../_lib/services/key_services.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const ANY = { mode: 'any', holdTime: '5s', returnTime: '5s' }
const THRESHOLD = { ...ANY, mode: 'threshold', k: 2 }
const AHEAD_MS = 4_000
const PAUSE_MS = 20

interface Step {
  readonly what: string
  readonly writes: readonly ServiceName[]
  /** Of those that write, one that begins a few seconds later. */
  readonly later?: ServiceName
  readonly reads?: readonly ServiceName[]
  readonly protection?: typeof ANY | typeof THRESHOLD
}

const ONE: Step = { what: 'one', writes: ['a'] }
const READ: Step = { what: 'a second one is read', writes: ['a'], reads: ['b'] }
const STEPS: readonly Step[] = [
  { what: 'any of two', writes: ['a', 'b'], later: 'b' },
  { what: 'any of three', writes: ['a', 'b', 'local'] },
  { what: 'two of three', writes: ['a', 'b', 'local'], protection: THRESHOLD },
  { what: 'any of three again', writes: ['a', 'b', 'local'] },
  { what: 'one again', writes: ['a'], reads: ['b', 'local'] },
]

const test = suite('cluster/providers', () => ({}), 800_000)

test('one provider, any of two, two of three and back, each rewritten: etcd holds the wraps of those that write, and no request fails', async () => {
  await using services = await startKeyServices()
  const { folder } = services
  await using plugin = await startWellPlugin({
    folder: folder.path,
    config: configOf(services, ONE),
  })
  const { socketPath } = plugin
  await using etcd = await startEtcd(folder.path)
  const encryption = encryptionOf(socketPath)
  await using server = await startApiServer({ folder: folder.path, etcd, encryption })
  const { api } = server
  await using load = new SecretLoad({ apis: [api], pauseMs: PAUSE_MS })
  await using _pokes = pokeHealth([api])
  const first = await keyIdOf(plugin)
  await until('there is something', () => load.of('write').length > 100)
  await checkStored(etcd, services, ONE)

  await change(plugin, services, READ)
  assert.is(await keyIdOf(plugin), first, 'what is only read changes no key id')
  const times: string[] = []
  for (const step of STEPS) {
    const start = performance.now()
    await change(plugin, services, step)
    await settled(plugin, { services, step, api, etcd })
    times.push(`${step.what} ${((performance.now() - start) / 1_000).toFixed(0)} s`)
  }
  assert.is(await keyIdOf(plugin), first, 'the key id of the first config')

  await change(plugin, services, ONE)
  await services.b.stop('killed')
  await rm(folder.at('keys'))
  const since = performance.now()
  await until('writes go on', () => load.of('write', since).length > 20)
  await load.stop()
  await server.process.stop()
  await server.start()
  for (const kind of ['write', 'read'] as const) assert.equal(load.failures(kind), [])
  assert.equal(load.wrong, [])
  assert.equal(await load.differences(api), [])
  figure(
    `${load.attempts.length} requests, none failed, the slowest in ${load.slowestMs('write')} ms; from the change of config until everything is rewritten: ${times.join(', ')}`,
  )
})

function configOf(services: KeyServices, step: Step) {
  const { writes, later, reads = [], protection = ANY } = step
  const activeFrom = new Date(Date.now() + AHEAD_MS).toISOString()
  const providers = [
    ...writes.map((name) => ({
      ...services[name].provider,
      ...(name === later ? { activeFrom } : {}),
    })),
    ...reads.map((name) => ({ ...services[name].provider, decryptOnly: true })),
  ]
  return { providers, protection, rotation: { activationDelay: '1s' }, health: { interval: '1s' } }
}

async function change(plugin: PluginProcess, services: KeyServices, step: Step): Promise<void> {
  await outcomeOf(plugin, 'config_reloaded', () => changeConfig(plugin, configOf(services, step)))
}

interface Settling {
  readonly services: KeyServices
  readonly step: Step
  readonly api: KubeApi
  readonly etcd: Etcd
}

/** The API server writes as the step says, and what was there before is rewritten. */
async function settled(
  plugin: PluginProcess,
  { services, step, api, etcd }: Settling,
): Promise<void> {
  const keyId = await until(
    `${step.what}: the plugin has the key id`,
    async () => {
      const { keyId: now, ciphertext } = await plugin.client.v2.encrypt({
        plaintext: new Uint8Array(32),
        uid: 'step',
      })
      return isAs(ciphertext, services, step) ? now : undefined
    },
    { limitMs: 60_000, everyMs: 100 },
  )
  await untilWrittenUnder(keyId, api, etcd)
  await rewriteAll(api)
  await checkStored(etcd, services, step)
}

async function checkStored(etcd: Etcd, services: KeyServices, step: Step): Promise<void> {
  const stored = [
    ...(await etcd.read('/registry/secrets/')),
    ...(await etcd.read('/registry/configmaps/')),
  ]
  assert.ok(stored.length > 0)
  for (const [key, value] of stored) {
    const { wrappedSeed } = readStoredV2(value)
    assert.ok(isAs(wrappedSeed, services, step), `${step.what}: ${key}`)
  }
}

/** Whether the envelope has a wrap of each provider that writes, and of no other. */
function isAs(envelope: Uint8Array, services: KeyServices, step: Step): boolean {
  const { scheme, members, wraps } = decodeEnvelope(envelope)
  const ids = members.map(({ providerId }) => providerId)
  const wanted = step.writes.map((name) => services[name].provider.id)
  const same = ids.join() === wanted.toSorted().join()
  return same && wraps.length === ids.length && scheme === (step.protection ?? ANY).mode
}

async function keyIdOf({ client }: PluginProcess): Promise<string> {
  return (await client.v2.status()).keyId
}

test.run()
