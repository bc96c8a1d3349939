/**
 * From KMS v1 to v2 on one socket, with two API servers that share an etcd: the new
 * entry second on both, then first, everything rewritten, and the feature gate off;
 * written and read through both all the time.
 *
 * @module
 */

import * as assert from 'uvu/assert'
import { decodeEnvelope } from '../../src/kms/envelope.ts'
import { type ApiServer, encryptionBy, startApiServer } from '../_lib/cluster/api_server.ts'
import { startCluster } from '../_lib/cluster/cluster.ts'
import type { Etcd } from '../_lib/cluster/etcd.ts'
import { inParallel } from '../_lib/cluster/kube_api.ts'
import { rewriteAll } from '../_lib/cluster/rewrite.ts'
import { SecretLoad } from '../_lib/cluster/secret_load.ts'
import { readStoredV1, readStoredV2, seedsOf } from '../_lib/cluster/stored.ts'
import { figure } from '../_lib/figure.ts'
import { suite } from '../_lib/uvu.ts'

const GATE = '--feature-gates=KMSv1=true'
const OBJECTS = 100
const PAUSE_MS = 20
const ROLLS = 3
const IDENTITY = { identity: {} }

const test = suite('cluster/v1_to_v2', () => ({}), 600_000)

test('on two API servers the v2 entry goes second, then first; rewriting leaves no v1, the gate goes off, and no request fails', async () => {
  await using cluster = await startCluster()
  const { folder, etcd } = cluster
  const plugin = await cluster.addNode({ starts: 'plugin' })
  const kms = { endpoint: `unix://${plugin.socketPath}`, timeout: '3s' }
  const v1 = { kms: { apiVersion: 'v1', name: 'old', ...kms } }
  const v2 = { kms: { apiVersion: 'v2', name: 'new', ...kms } }
  const start = (name: string, providers: readonly object[], flags: readonly string[]) =>
    startApiServer({ folder: folder.path, etcd, name, flags, encryption: encryptionBy(providers) })
  const startOld = (name: string) => start(name, [v1, IDENTITY], [GATE])
  // One after the other: of two that begin on an empty etcd at once, one may never be ready.
  await using ends = new AsyncDisposableStack()
  const both = [ends.use(await startOld('one')), ends.use(await startOld('two'))] as const
  await writeBoth(both)
  const before = await countStored(etcd)
  assert.ok(before.v1 >= 2 * OBJECTS && before.v2 === 0, JSON.stringify(before))
  await using load = new SecretLoad({ apis: apisOf(both), pauseMs: PAUSE_MS })

  await roll(both, load, [v1, v2, IDENTITY])
  assert.is((await countStored(etcd)).v2, 0, 'the second entry is not written by')
  await roll(both, load, [v2, v1, IDENTITY])
  const begin = performance.now()
  const count = await rewriteAll(both[0].api)
  figure(`${count} objects rewritten to v2 in ${seconds(begin)} s`)
  const after = await countStored(etcd)
  assert.is(after.v1, 0)
  assert.ok(after.v2 >= 2 * OBJECTS)

  const last: ApiServer[] = []
  for (const [index, name] of ['three', 'four'].entries()) {
    await load.use(apisOf([...last, ...both.slice(index + 1)]))
    await both[index]?.process.stop()
    last.push(ends.use(await start(name, [v2, IDENTITY], [])))
    await load.use(apisOf([...last, ...both.slice(index + 1)]))
  }
  await load.stop()

  for (const kind of ['write', 'read'] as const) assert.equal(load.failures(kind), [])
  assert.equal(load.wrong, [])
  for (const { api } of last) assert.equal(await load.differences(api), [])
  await checkBoth(last)
  const { seeds } = await countStored(etcd)
  figure(
    `${load.attempts.length} requests while two API servers were restarted ${ROLLS} times each, none failed, the slowest in ${Math.max(load.slowestMs('write'), load.slowestMs('read'))} ms; a restart of an API server costs ${seeds} Decrypts instead of one an object`,
  )
})

/** One API server after the other is restarted with these providers, while the other is used. */
async function roll(
  servers: readonly ApiServer[],
  load: SecretLoad,
  providers: readonly object[],
): Promise<void> {
  for (const server of servers) {
    await load.use(apisOf(servers.filter((each) => each !== server)))
    await server.configure(encryptionBy(providers))
    await server.process.stop()
    await server.start()
    await load.use(apisOf(servers))
  }
}

async function writeBoth(servers: readonly ApiServer[]): Promise<void> {
  await inParallel(OBJECTS, async (index) => {
    const { api } = servers[index % servers.length] ?? {}
    const metadata = { name: `map-${index}`, namespace: 'default' }
    const configMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { text: `${index}` } }
    await api?.must('POST', '/api/v1/namespaces/default/configmaps', configMap)
    await api?.createSecret(`secret-${index}`, { text: `${index}` })
  })
}

async function checkBoth(servers: readonly ApiServer[]): Promise<void> {
  for (const { api } of servers) {
    await inParallel(OBJECTS, async (index) => {
      assert.equal(await api.readSecret(`secret-${index}`), { text: `${index}` })
      const path = `/api/v1/namespaces/default/configmaps/map-${index}`
      assert.equal((await api.must('GET', path)).data, { text: `${index}` })
    })
  }
}

/** How much of each API is stored; all of it in envelopes. */
async function countStored(etcd: Etcd) {
  const values = [
    ...(await etcd.read('/registry/secrets/')).values(),
    ...(await etcd.read('/registry/configmaps/')).values(),
  ]
  const ofV2 = values.filter((value) => value.toString('latin1', 0, 15) === 'k8s:enc:kms:v2:')
  const ofV1 = values.filter((value) => !ofV2.includes(value))
  for (const value of ofV1) {
    const { provider, wrappedKey } = readStoredV1(value)
    assert.is(provider, 'old')
    decodeEnvelope(wrappedKey)
  }
  for (const value of ofV2) {
    const { provider, keyId, wrappedSeed } = readStoredV2(value)
    assert.is(provider, 'new')
    assert.is(decodeEnvelope(wrappedSeed).keyId, keyId)
  }
  return { v1: ofV1.length, v2: ofV2.length, seeds: seedsOf(ofV2) }
}

function apisOf(servers: readonly ApiServer[]) {
  return servers.map(({ api }) => api)
}

function seconds(start: number): string {
  return ((performance.now() - start) / 1_000).toFixed(1)
}

test.run()
