/**
 * Rotation of a key with two API servers that share an etcd, each with a plugin of its
 * own that knows nothing of the other: both take new seeds under the new key id by
 * themselves, and everything is written and read through both all the time.
 *
 * @module
 */

import * as assert from 'uvu/assert'
import { keyIdHash } from '../../src/base/key_id_hash.ts'
import { decodeEnvelope } from '../../src/kms/envelope.ts'
import { type Cluster, type ClusterNode, startCluster } from '../_lib/cluster/cluster.ts'
import type { Etcd } from '../_lib/cluster/etcd.ts'
import { pokeHealth, untilWrittenUnder } from '../_lib/cluster/key_id_change.ts'
import type { KubeApi } from '../_lib/cluster/kube_api.ts'
import { metricSum } from '../_lib/cluster/metrics.ts'
import { rewriteAll } from '../_lib/cluster/rewrite.ts'
import { SecretLoad } from '../_lib/cluster/secret_load.ts'
import { readStoredV2 } from '../_lib/cluster/stored.ts'
import { figure } from '../_lib/figure.ts'
import type { PluginProcess } from '../_lib/plugin/process.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const ACTIVATION_DELAY_MS = 3_000
const ROTATIONS = 2
const PAUSE_MS = 20
const SECRETS = '/registry/secrets/'

const test = suite('cluster/rotation', () => ({}), 600_000)

type Nodes = readonly [ClusterNode, ClusterNode]

async function startNodes(cluster: Cluster): Promise<Nodes> {
  const config = { rotation: { activationDelay: `${ACTIVATION_DELAY_MS}ms` } }
  // The test looks at every revision.
  const flags = ['--etcd-compaction-interval=0']
  const start = (name: string) => cluster.addNode({ name, config, flags })
  // One after the other: of two that begin on an empty etcd at once, one may never be ready.
  return [await start('one'), await start('two')]
}

function keyIdOf({ client }: PluginProcess): Promise<string | undefined> {
  return client.v2.status().then(
    ({ keyId }) => keyId,
    () => undefined,
  )
}

test('two API servers with a plugin each take up a rotated key by themselves, and no request of those between them fails', async () => {
  await using cluster = await startCluster()
  const { etcd } = cluster
  const nodes = await startNodes(cluster)
  const apis = nodes.map(({ server }) => server.api)
  await using load = new SecretLoad({ apis, pauseMs: PAUSE_MS })
  await using _pokes = pokeHealth(apis)
  const keyIds = [await keyIdOf(nodes[0].plugin)]
  await until('there is something of before', () => load.of('write').length > 100)

  for (let rotation = 0; rotation < ROTATIONS; rotation += 1) {
    const { keyId, changedMs, writtenMs } = await rotate(cluster, nodes)
    assert.not.ok(keyIds.includes(keyId))
    keyIds.push(keyId)
    figure(
      `rotation ${rotation + 1}: plugins changed after ${changedMs.join(' and ')} ms (activation delay ${ACTIVATION_DELAY_MS} ms), API servers wrote under the new key id after ${writtenMs.join(' and ')} ms`,
    )
  }
  await load.stop()
  for (const kind of ['write', 'read'] as const) assert.equal(load.failures(kind), [])
  assert.equal(load.wrong, [])

  const found = checkWhole(await etcd.history(SECRETS))
  assert.equal(new Set(found.keys()), new Set(keyIds), 'something was stored under each')
  await checkMetrics(apis, keyIds)
  for (const node of nodes) {
    // An API server that was restarted has no seed in memory, and asks its plugin for each.
    await node.restartServer()
    assert.equal(await load.differences(node.server.api), [])
  }
  await rewriteAll(nodes[0].server.api, ['secrets'])
  const now = [...(await etcd.read(SECRETS))].map(([key, value]) => ({ key, value }))
  assert.equal([...checkWhole(now).keys()], [keyIds.at(-1)])
  figure(
    `${load.attempts.length} requests, none failed, the slowest in ${Math.max(load.slowestMs('write'), load.slowestMs('read'))} ms; ${[...found.values()].join(', ')} writes under the key ids, each whole`,
  )
})

/** How long after the rotation each plugin had the new key id, and each API server wrote under it. */
async function rotate({ bao, transit, etcd }: Cluster, nodes: Nodes) {
  const before = await keyIdOf(nodes[0].plugin)
  await bao.rotate(transit)
  const start = performance.now()
  const since = () => Math.round(performance.now() - start)
  const changes = await Promise.all(
    nodes.map(async ({ plugin, server }, index) => {
      const keyId = await until(
        'the plugin changes',
        async () => {
          const said = await keyIdOf(plugin)
          return said === before ? undefined : said
        },
        { limitMs: 60_000 },
      )
      const changedMs = since()
      await untilWrittenUnder(keyId, server.api, etcd, `probe-${index}`)
      return { keyId, changedMs, writtenMs: since() }
    }),
  )
  const [one, two] = changes
  assert.is(one?.keyId, two?.keyId)
  return {
    keyId: one?.keyId ?? '',
    changedMs: changes.map(({ changedMs }) => changedMs),
    writtenMs: changes.map(({ writtenMs }) => writtenMs),
  }
}

/** What stands beside each object, its seed's envelope and the wrap are of one moment [R2]. */
function checkWhole(stored: Awaited<ReturnType<Etcd['history']>>): Map<string, number> {
  const found = new Map<string, number>()
  const versions = new Map<string, string>()
  for (const { key, value } of stored) {
    const { keyId, wrappedSeed } = readStoredV2(value)
    const envelope = decodeEnvelope(wrappedSeed)
    assert.is(envelope.keyId, keyId, key)
    const version = envelope.members[0]?.version ?? ''
    assert.is(versions.get(keyId) ?? version, version, key)
    versions.set(keyId, version)
    found.set(keyId, (found.get(keyId) ?? 0) + 1)
  }
  assert.is(new Set(versions.values()).size, versions.size, 'a version for each key id')
  return found
}

/** Each API server says that it saw the key ids, and the last one last. */
async function checkMetrics(
  apis: readonly KubeApi[],
  keyIds: readonly (string | undefined)[],
): Promise<void> {
  for (const api of apis) {
    const text = String((await api.send('GET', '/metrics')).body)
    const name = 'apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds'
    const times = keyIds.map((keyId) =>
      metricSum(text, name, { key_id_hash: keyIdHash(keyId ?? '') }),
    )
    assert.ok(
      times.every((time, index) => time > (times[index - 1] ?? 0)),
      `in the order of the rotations: ${times}`,
    )
  }
}

test.run()
