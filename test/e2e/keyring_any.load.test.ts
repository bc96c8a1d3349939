/**
 * `any` over two real OpenBao servers and a local key file: each of them is taken away alone and in
 * pairs, in several ways, while a client asks without pause.
 *
 * @module
 */

import * as assert from 'uvu/assert'
import { ANY, inputsOf } from '../../src/kms/envelope.ts'
import { keyIdOf, type Member } from '../../src/kms/key_id.ts'
import { figure } from '../_lib/figure.ts'
import { KmsLoad } from '../_lib/plugin/kms_load.ts'
import { type PluginProcess, startPluginProcess } from '../_lib/plugin/process.ts'
import { rolesOf, statuszOf } from '../_lib/plugin/statusz_page.ts'
import {
  type KeyServices,
  type Outage,
  type ServiceName,
  startKeyServices,
} from '../_lib/services/key_services.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const HOLD_MS = 2_000
const RETURN_MS = 3_000
/** So many requests of each kind try a state. */
const TRIED = 20
const ASKED = ['decrypt_v2', 'decrypt_v1', 'encrypt_v1', 'encrypt_v2'] as const
const NAMES: readonly ServiceName[] = ['a', 'b', 'local']
const OUTAGES: readonly Partial<Record<ServiceName, Outage>>[] = [
  { a: 'stopped' },
  { b: 'frozen' },
  { local: 'stopped' },
  { a: 'killed', b: 'killed' },
  { a: 'frozen', local: 'stopped' },
  { b: 'killed', local: 'stopped' },
]

const test = suite('e2e/keyring_any', () => ({}))

function start(services: KeyServices) {
  const { folder, a, b, local } = services
  return startPluginProcess({
    folder: folder.path,
    config: {
      providers: [a.provider, b.provider, local.provider],
      protection: {
        mode: 'any',
        minimumProviders: 1,
        holdTime: `${HOLD_MS}ms`,
        returnTime: `${RETURN_MS}ms`,
      },
      rotation: { activationDelay: '0s' },
      health: { interval: '1s' },
      admin: { listen: `unix://${folder.at('admin.sock')}` },
    },
  })
}

test('each of three providers, and each pair, can be away: nothing that is still held fails to open, writes go on, and the full key id is back by itself', async () => {
  await using services = await startKeyServices()
  await using plugin = await start(services)
  await until('the plugin is healthy', () => plugin.client.v2.status().catch(() => undefined))
  const away = new Set<string>()
  await using load = new KmsLoad(plugin.socketPath, {
    opens: ({ members }) => members.some(({ providerId }) => !away.has(providerId)),
  })
  const members = await until('something is encrypted', () => load.kept[0]?.envelope.members)
  const bed = { services, load, away, members, ...asked(plugin) }
  assert.is(await bed.keyId(), keyIdOfOnly(bed, NAMES))

  for (const outage of OUTAGES) await goesThrough(outage, bed)

  await load.stop()
  assert.equal(load.wrong, [])
  for (const kind of ['status', 'encrypt_v1', 'decrypt_v2', 'decrypt_v1'] as const) {
    assert.equal(load.failures(kind), [], kind)
  }
  const ways = load.of('encrypt_v2').flatMap(({ failed }) => failed?.status ?? [])
  assert.ok(ways.every((way) => way === 'UNAVAILABLE' || way === 'DEADLINE_EXCEEDED'))
  assert.is(new Set(load.of('status').map(({ keyId }) => keyId)).size, OUTAGES.length + 1)
  figure(`${load.attempts.length} requests; longest gap of ${gaps(load)}`)
})

interface Bed extends ReturnType<typeof asked> {
  readonly services: KeyServices
  readonly load: KmsLoad
  /** Ids of the providers that are away. */
  readonly away: Set<string>
  /** Of the full key id. */
  readonly members: readonly Member[]
}

function asked({ client }: PluginProcess) {
  return { keyId: () => client.v2.status().then(({ keyId }) => keyId) }
}

async function goesThrough(outage: Partial<Record<ServiceName, Outage>>, bed: Bed): Promise<void> {
  const { services, load, away, keyId } = bed
  const stopped = NAMES.filter((name) => outage[name] !== undefined)
  const left = NAMES.filter((name) => outage[name] === undefined)
  const what = stopped.map((name) => `${name} ${outage[name]}`).join(', ')

  const begin = performance.now()
  for (const name of stopped) away.add(idOf(services, name))
  await Promise.all(stopped.map((name) => services[name].stop(outage[name] ?? 'stopped')))
  const degraded = keyIdOfOnly(bed, left)
  await until(`${what}: the others write`, async () => (await keyId()) === degraded)
  const leftMs = Math.round(performance.now() - begin)
  // A key file that is gone is a fault of the key itself, for which nothing waits.
  if (!stopped.includes('local')) assert.ok(leftMs >= HOLD_MS, `${what}: after ${leftMs} ms`)
  await works(load, what)
  await checkDegraded(bed, stopped, left)

  const cured = performance.now()
  await Promise.all(stopped.map((name) => services[name].start()))
  const full = keyIdOfOnly(bed, NAMES)
  await until(`${what}: all write again`, async () => (await keyId()) === full)
  const backMs = Math.round(performance.now() - cured)
  assert.ok(backMs >= RETURN_MS, `${what}: back after ${backMs} ms`)
  for (const name of stopped) away.delete(idOf(services, name))
  await works(load, what)
  const page = await statuszOf(services.folder.at('admin.sock'))
  assert.is(page.state, 'ok')
  assert.is(page.degradedSince, undefined)
  assert.equal(rolesOf(page), rolesWhere(NAMES))
  figure(
    `${what}: left out after ${leftMs} ms, back after ${backMs} ms; longest gap of ${gaps(load, begin)}`,
  )
}

/** Under a key id that stands, all of both APIs works. */
async function works(load: KmsLoad, what: string): Promise<void> {
  const since = performance.now()
  await until(`${what}: enough was asked`, () =>
    ASKED.every((kind) => load.of(kind, since).length >= TRIED),
  )
  for (const kind of ASKED) assert.equal(load.failures(kind, since), [], `${what}: ${kind}`)
}

async function checkDegraded(
  { services }: Bed,
  stopped: readonly ServiceName[],
  left: readonly ServiceName[],
): Promise<void> {
  const page = await statuszOf(services.folder.at('admin.sock'))
  assert.is(page.state, 'degraded')
  assert.equal(rolesOf(page), rolesWhere(left))
  assert.ok(Date.parse(page.degradedSince ?? '') <= Date.now())
  assert.match(page.why ?? '', new RegExp(`^any of .*; without ${stopped.join(', ')}, left out`))
}

function idOf(services: KeyServices, name: ServiceName): string {
  return services[name].provider.id
}

function keyIdOfOnly({ services, members }: Bed, names: readonly ServiceName[]): string {
  const ids = names.map((name) => idOf(services, name))
  const only = members.filter(({ providerId }) => ids.includes(providerId))
  return keyIdOf(inputsOf(ANY, only))
}

function rolesWhere(writing: readonly ServiceName[]): Record<string, string> {
  return Object.fromEntries(
    NAMES.map((name) => [name, writing.includes(name) ? 'writes' : 'left_out']),
  )
}

function gaps(load: KmsLoad, since = 0): string {
  return ASKED.map((kind) => `${kind} ${load.longestGapMs(kind, since)} ms`).join(', ')
}

test.run()
