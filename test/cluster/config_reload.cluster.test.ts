/**
 * The EncryptionConfiguration is changed under running API servers, which check it once a minute:
 * resources are added, the provider is second and then first, and a file that cannot be used is
 * refused. Two API servers with data of their own run side by side, to save minutes.
 *
 * @module
 */

import type { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import { encryptionBy, encryptionOf } from '../_lib/cluster/api_server.ts'
import { type Cluster, type ClusterNode, startCluster } from '../_lib/cluster/cluster.ts'
import type { Etcd } from '../_lib/cluster/etcd.ts'
import { metricSum } from '../_lib/cluster/metrics.ts'
import { rewriteAll } from '../_lib/cluster/rewrite.ts'
import { SecretLoad } from '../_lib/cluster/secret_load.ts'
import { readStoredV2, seedsOf } from '../_lib/cluster/stored.ts'
import { figure } from '../_lib/figure.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

/** More than two of the API server's minutes. */
const TAKEN_UP_MS = 200_000
const PAUSE_MS = 50
const RELOADS = 'apiserver_encryption_config_controller_automatic_reloads_total'
const SECRETS_ONLY = ['secrets']
const MORE = ['secrets', 'configmaps']

const test = suite('cluster/config_reload', () => ({}), 800_000)

test('resources are added and the provider goes second and first without a restart; a configuration that cannot be used is refused and the old one goes on', async () => {
  await using cluster = await startCluster()
  await Promise.all([moves(cluster), refuses(cluster)])
})

/** The etcd of the cluster holds the data of each API server below a prefix of its own. */
async function start(cluster: Cluster, name: string): Promise<ClusterNode> {
  return await cluster.addNode({
    name,
    encryption: (socketPath) => encryptionOf(socketPath, { resources: SECRETS_ONLY }),
    flags: [`--etcd-prefix=/${name}`],
    reloads: true,
  })
}

async function moves(cluster: Cluster): Promise<void> {
  const { etcd } = cluster
  const node = await start(cluster, 'moves')
  const { server } = node
  const { api } = server
  const entry = (name: string) => ({
    kms: { apiVersion: 'v2', name, endpoint: `unix://${node.socketPath}`, timeout: '3s' },
  })
  const identity = { identity: {} }
  const providers = [entry('trousseau'), entry('next'), identity]
  await using load = new SecretLoad({ apis: [api], pauseMs: PAUSE_MS })
  await writeMap(node, 'before')
  assert.ok((await etcd.value('/moves/configmaps/default/before')).includes('before'), 'plaintext')
  await until('there is something', () => load.of('write').length > 50)
  assert.is(await seedsTaken(node), 1)

  await server.configure(encryptionBy(providers, MORE))
  const times = [await takenUp(node, 'success', 1)]
  await writeMap(node, 'after')
  assert.is((await storedAs(etcd, 'configmaps/default/after')).provider, 'trousseau')
  await rewriteAll(api, MORE)
  assert.is((await storedAs(etcd, 'configmaps/default/before')).provider, 'trousseau')
  assert.is(await seedsTaken(node), 1 + 2, 'a new one for each entry')

  await server.configure(encryptionBy([entry('next'), entry('trousseau'), identity], MORE))
  times.push(await takenUp(node, 'success', 2))
  assert.is(await seedsTaken(node), 1 + 2 + 2)
  await rewriteAll(api, MORE)
  await load.stop()
  const values = await secretsOf(etcd)
  for (const value of values) assert.is(readStoredV2(value).provider, 'next')
  assert.is(seedsOf(values), 1, 'the entries share no seed, and one wrote all')

  checkLoad(load)
  assert.equal(await load.differences(api), [])
  figure(
    `two reloads taken up after ${times.join(' and ')} s, ${load.attempts.length} requests, none failed; ${await seedsTaken(node)} seeds taken, 1 stored after rewriting`,
  )
}

async function refuses(cluster: Cluster): Promise<void> {
  const { etcd } = cluster
  const node = await start(cluster, 'refuses')
  const { server } = node
  const { api } = server
  await using load = new SecretLoad({ apis: [api], name: 'refused', pauseMs: PAUSE_MS })
  const broken = [
    // Not of the API, and a plugin that is not there.
    encryptionOf(node.socketPath, { resources: SECRETS_ONLY, name: 'a:b' }),
    encryptionOf(`${node.folder}/nobody.sock`, { resources: SECRETS_ONLY, name: 'nobody' }),
  ]
  for (const encryption of broken) {
    const before = await reloadsOf(node, 'failure')
    await server.configure(encryption)
    // The first may be of an attempt that was under way.
    await takenUp(node, 'failure', before + 2)
    assert.is(await reloadsOf(node, 'success'), 0)
    await server.api.createSecret(`still-${before}`, { text: 'still' })
    const { provider } = await storedAs(etcd, `secrets/default/still-${before}`, 'refuses')
    assert.is(provider, 'trousseau')
  }
  await server.configure(encryptionOf(node.socketPath, { resources: MORE }))
  const seconds = await takenUp(node, 'success', 1)
  await writeMap(node, 'after')
  assert.is((await storedAs(etcd, 'configmaps/default/after', 'refuses')).provider, 'trousseau')

  await load.stop()
  checkLoad(load)
  assert.equal(await load.differences(api), [])
  figure(`a good configuration after two that were refused is taken up after ${seconds} s`)
}

/** @returns after how many seconds */
async function takenUp(
  node: ClusterNode,
  status: 'success' | 'failure',
  count: number,
): Promise<number> {
  const start = performance.now()
  await until(
    `${count} reloads with ${status}`,
    async () => (await reloadsOf(node, status)) >= count,
    { limitMs: TAKEN_UP_MS, everyMs: 500 },
  )
  return Math.round((performance.now() - start) / 1_000)
}

async function reloadsOf({ server }: ClusterNode, status: string): Promise<number> {
  const { body } = await server.api.send('GET', '/metrics')
  return metricSum(String(body), RELOADS, { status })
}

/** How many seeds the API server had wrapped. */
function seedsTaken(node: ClusterNode): Promise<number> {
  return node.pluginMetric('trousseau_requests_total', { method: 'Encrypt', code: 'ok' })
}

async function writeMap({ server }: ClusterNode, name: string): Promise<void> {
  const metadata = { name, namespace: 'default' }
  const configMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { text: name } }
  await server.api.must('POST', '/api/v1/namespaces/default/configmaps', configMap)
}

async function storedAs(etcd: Etcd, path: string, prefix = 'moves') {
  return readStoredV2(await etcd.value(`/${prefix}/${path}`))
}

async function secretsOf(etcd: Etcd): Promise<Buffer[]> {
  return [...(await etcd.read('/moves/secrets/')).values()]
}

function checkLoad(load: SecretLoad): void {
  for (const kind of ['write', 'read'] as const) assert.equal(load.failures(kind), [])
  assert.equal(load.wrong, [])
}

test.run()
