/**
 * A node under random faults, one or two at a time, while Secrets are created, updated,
 * deleted and read: for three minutes, or with `--minutes N` for longer. The seed that it
 * prints deals the same faults again.
 *
 * @module
 */

import process from 'node:process'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import * as assert from 'uvu/assert'
import { startCluster } from '../_lib/cluster/cluster.ts'
import { type Fault, FaultDeck, Faults } from '../_lib/cluster/faults.ts'
import { PLANTED, SecretLoad } from '../_lib/cluster/secret_load.ts'
import { readStoredV2, seedsOf } from '../_lib/cluster/stored.ts'
import { figure } from '../_lib/figure.ts'
import { SeededRandom } from '../_lib/seeded_random.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '3' } } })
const LENGTH_MS = Number(values.minutes) * 60_000
const AROUND_MS = 240_000
const RECOVERY_MS = 120_000
/** Between and within rounds, at most. */
const SHORT_MS = 3_000
/** What lasts longer than the plugin waits for a provider that writes. */
const LONG_MS = 15_000
const ONE_IN_LONG = 8

const test = suite('cluster/soak', () => ({}), LENGTH_MS + AROUND_MS)

interface Round {
  readonly faults: readonly Fault[]
  readonly recoveryMs: number
}

test('random faults: every acknowledged write is read back equal, nothing fails while nothing is wrong, and etcd holds no plaintext', async () => {
  const random = SeededRandom.announced('soak')
  await using cluster = await startCluster()
  const node = await cluster.addNode({ reloads: true, starts: 'plugin' })
  const faults = new Faults(cluster, node)
  await faults.start()
  await node.healthyPlugin()
  const { api } = await node.startServer()
  await using load = new SecretLoad({ apis: [api], pauseMs: 15 })
  await load.goesOn()
  const deck = new FaultDeck(faults.all(), random)
  const rounds: Round[] = []
  const begun = performance.now()
  const told = (text: string) => {
    const seconds = ((performance.now() - begun) / 1_000).toFixed(1)
    process.stdout.write(`${seconds} s: ${text}\n`)
  }

  const wellAgain = async () => {
    const healed = performance.now()
    const limits = { limitMs: RECOVERY_MS, everyMs: 100 }
    const pluginWell = async () => (await node.adminPage('/readyz').catch(() => '')) === 'ok\n'
    await until('the plugin is well', pluginWell, limits)
    await node.server.start()
    await load.goesOn(RECOVERY_MS)
    return performance.now() - healed
  }
  let quietSince = performance.now()
  while (performance.now() - begun < LENGTH_MS) {
    await pause(random.below(SHORT_MS))
    const dealt = deck.deal()
    const names = dealt.map(({ place, name }) => `${place}: ${name}`).join(', ')
    told(names)
    assert.equal(failuresWithin(load, quietSince, performance.now()), [], 'nothing is wrong')
    for (const { begin } of dealt) {
      await begin()
      await pause(random.below(SHORT_MS))
    }
    if (random.below(ONE_IN_LONG) === 0) await pause(LONG_MS)
    for (const { end } of dealt) await end()
    const recoveryMs = await wellAgain()
    quietSince = performance.now()
    told(`well again after ${Math.round(recoveryMs)} ms`)
    rounds.push({ faults: dealt, recoveryMs })
    assert.equal(load.wrong, [])
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
  const count = (kind: 'write' | 'read') =>
    `${load.of(kind).length} ${kind}s (${load.failures(kind).length} failed, all of them in a fault)`
  const slowest = rounds.reduce((most, { recoveryMs }) => Math.max(most, recoveryMs), 0)
  figure(
    `soak of ${values.minutes} minutes, seed ${random.seed}: ${rounds.length} rounds of faults, well again ${(slowest / 1_000).toFixed(1)} s after the cure at the latest; ${count('write')}, ${count('read')}; ${secrets.length} Secrets under ${keyIds.size} key ids and ${seedsOf(secrets)} seeds, all as acknowledged`,
  )
})

/** Of attempts that began and ended in the span. */
function failuresWithin(load: SecretLoad, since: number, to: number): string[] {
  return load.attempts.flatMap(({ kind, start, end, failed }) =>
    failed !== undefined && start >= since && end <= to ? [`${kind}: ${failed}`] : [],
  )
}

test.run()
