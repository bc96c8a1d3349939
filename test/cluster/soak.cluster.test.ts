/**
 * A node under random faults, one or two at a time, while Secrets are created, updated, deleted and
 * read: for three minutes, or for longer with `--minutes N`. The seed that it prints reproduces the
 * same faults.
 *
 * @module
 */

import process from 'node:process'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import * as assert from 'uvu/assert'
import { type ClusterNode, startCluster } from '../_lib/cluster/cluster.ts'
import { ReadinessWatch } from '../_lib/cluster/readiness.ts'
import { PLANTED, SecretLoad } from '../_lib/cluster/secret_load.ts'
import { readStoredV2, seedsOf } from '../_lib/cluster/stored.ts'
import { figure } from '../_lib/figure.ts'
import { SeededRandom } from '../_lib/seeded_random.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'
import { type Fault, FaultDeck, Faults } from './faults.ts'

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '3' } } })
const LENGTH_MS = Number(values.minutes) * 60_000
if (!(LENGTH_MS > 0)) throw new Error('Wanted --minutes and a number above 0')
const AROUND_MS = 240_000
const RECOVERY_MS = 120_000
/** Between and within rounds, at most. */
const SHORT_MS = 3_000
/** What lasts longer than the plugin waits for a provider that writes. */
const LONG_MS = 15_000
const ONE_IN_LONG = 8

const test = suite('cluster/soak', () => ({}), LENGTH_MS + AROUND_MS)

test('random faults: every acknowledged write is read back equal, nothing fails while nothing is wrong, and etcd holds no plaintext', async () => {
  const random = SeededRandom.announced('soak')
  await using cluster = await startCluster()
  const node = await cluster.addNode({ reloads: true, starts: 'plugin' })
  const faults = new Faults(cluster, node)
  await faults.start()
  await node.healthyPlugin()
  const { api } = await node.startServer()
  await using load = new SecretLoad({ apis: [api], pauseMs: 15 })
  // Whoever asks makes the API server ask for Status three times as often.
  await using _probes = new ReadinessWatch(api)
  await load.goesOn()
  const deck = new FaultDeck(faults.all(), random)
  const rounds: Round[] = []

  const begun = performance.now()
  let quietSince = begun
  while (performance.now() - begun < LENGTH_MS) {
    await pause(random.below(SHORT_MS))
    assert.equal(failuresWithin(load, quietSince, performance.now()), [], 'nothing is wrong')
    const round = await faultsOnce(node, load, deck, random)
    quietSince = performance.now()
    const seconds = ((quietSince - begun) / 1_000).toFixed(1)
    process.stdout.write(`${seconds} s: ${told(round)}\n`)
    assert.equal(load.wrong, [])
    rounds.push(round)
  }
  await load.stop()

  await node.restartServer()
  assert.equal(await load.differences(api), [])
  const stored = await cluster.etcd.read('/registry/')
  for (const [key, value] of stored) assert.not.ok(value.includes(PLANTED), key)
  const secrets = [...stored].flatMap(([key, value]) =>
    key.startsWith('/registry/secrets/') ? [value] : [],
  )
  const keyIds = new Set(secrets.map((value) => readStoredV2(value).keyId))
  const slowest = rounds.reduce((most, { recoveryMs }) => Math.max(most, recoveryMs), 0)
  const others = rounds.filter((round) => !ofServer(round))
  const spared = others.filter(({ failures }) => failures.length === 0).length
  figure(
    `soak of ${values.minutes} minutes, seed ${random.seed}: ${rounds.length} rounds of faults, well again ${(slowest / 1_000).toFixed(1)} s after the cure at the latest; ${load.of('write').length} writes and ${load.of('read').length} reads, none failed in ${spared} of ${others.length} rounds without a restart of the API server; ${secrets.length} Secrets under ${keyIds.size} key ids and ${seedsOf(secrets)} seeds, all as acknowledged`,
  )
})

interface Round {
  readonly faults: readonly Fault[]
  readonly recoveryMs: number
  /** Of reads and writes that began in it. */
  readonly failures: readonly string[]
}

/** Deals, and resolves when all is well again. */
async function faultsOnce(
  node: ClusterNode,
  load: SecretLoad,
  deck: FaultDeck,
  random: SeededRandom,
): Promise<Round> {
  const start = performance.now()
  const dealt = deck.deal()
  for (const { begin } of dealt) {
    await begin()
    await pause(random.below(SHORT_MS))
  }
  if (random.below(ONE_IN_LONG) === 0) await pause(LONG_MS)
  for (const { end } of dealt) await end()

  const cured = performance.now()
  const limits = { limitMs: RECOVERY_MS, everyMs: 100 }
  const pluginWell = async () => (await node.adminPage('/readyz').catch(() => '')) === 'ok\n'
  await until('the plugin is well', pluginWell, limits)
  await node.server.start()
  await load.goesOn(RECOVERY_MS)
  const recoveryMs = performance.now() - cured
  const failures = failuresWithin(load, start, Number.POSITIVE_INFINITY)
  return { faults: dealt, recoveryMs, failures }
}

function ofServer({ faults }: Round): boolean {
  return faults.some(({ place }) => place === 'API server')
}

function told(round: Round): string {
  const { faults, recoveryMs, failures } = round
  const names = faults.map(({ place, name }) => `${place} ${name}`).join(', ')
  const failed = ofServer(round) ? `${failures.length} failed` : failures.join('; ')
  return `${names}: well again after ${Math.round(recoveryMs)} ms; ${failed}`
}

/** Of attempts that began and ended in the span. */
function failuresWithin(load: SecretLoad, since: number, to: number): string[] {
  return load.attempts.flatMap(({ kind, start, end, failed }) =>
    failed !== undefined && start >= since && end <= to ? [`${kind}: ${failed}`] : [],
  )
}

test.run()
