/**
 * A node that is not as its rules want it any more: its API server stops writing as designed, and
 * goes on by itself when the node is as it was. Were Status answered with another healthz text in
 * place of an error, the API server would write on for ever with the seed that it holds
 * (kubernetes#138950), and this test would wait in vain.
 *
 * @module
 */

import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { type Cluster, startCluster } from '../_lib/cluster/cluster.ts'
import { ReadinessWatch } from '../_lib/cluster/readiness.ts'
import { SecretLoad } from '../_lib/cluster/secret_load.ts'
import { figure } from '../_lib/figure.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const MANIFEST = 'apiVersion: v1\nkind: Pod\n'
const SEED = new Uint8Array(32).fill(7)
const COASTS_MS = 180_000

const test = suite('cluster/policy', () => ({}), 600_000)

async function guardedNode(cluster: Cluster) {
  const manifest = cluster.folder.at('kube-apiserver.yaml')
  await writeFile(manifest, MANIFEST)
  const sha256 = createHash('sha256').update(MANIFEST).digest('hex')
  const rules = [
    {
      name: 'manifest',
      expression: `files.apiServer.sha256 == "${sha256}"`,
      message: 'The manifest was changed',
      mode: 'enforce',
    },
    { name: 'never', expression: '1 == 2', message: 'It never passes', mode: 'audit' },
    {
      name: 'never-opens',
      expression: '1 == 2',
      message: 'It never passes',
      mode: 'audit',
      guards: ['decrypt'],
    },
  ]
  const node = await cluster.addNode({
    config: { policy: { files: { apiServer: manifest }, rules } },
  })
  return { node, manifest }
}

test('a changed file: the next Encrypt is refused with the rule, the API server stops writing and goes on by itself; an audit rule refuses nothing', async () => {
  await using cluster = await startCluster()
  const { node, manifest } = await guardedNode(cluster)
  await using load = new SecretLoad({ apis: [node.server.api], pauseMs: 50 })
  await using ready = new ReadinessWatch(node.server.api)
  await load.goesOn()
  assert.equal([...load.failures('write'), ...load.failures('read'), ...ready.refusals], [])
  assert.ok((await node.plugin.told('policy')).some(({ outcome }) => outcome === 'would_refuse'))

  const start = performance.now()
  await writeFile(manifest, `${MANIFEST}# tampered with\n`)
  const encrypt = () => node.plugin.client.v2.encrypt({ plaintext: SEED, uid: 'a' })
  const refused = await until('Encrypt is refused', () =>
    encrypt().then(
      () => undefined,
      (error: Error) => error.message,
    ),
  )
  const noticed = performance.now() - start
  assert.match(refused, 'Rule "manifest" refuses encrypt: The manifest was changed')
  await until('the API server is not ready', () => ready.refusals.length > 0)
  const said = await node.server.api.health('/readyz')
  assert.match(said.text, /kms-provider/)
  const stopped = await until(
    'it does not write any more',
    () => load.of('write').find(({ failed }) => failed?.includes('expired')),
    { limitMs: 2 * COASTS_MS, everyMs: 200 },
  )
  assert.ok(stopped.start - start > COASTS_MS / 2, 'it coasts')

  const cured = performance.now()
  await writeFile(manifest, MANIFEST)
  await load.goesOn()
  const back = performance.now() - cured
  await Promise.all([load.stop(), ready.stop()])

  assert.equal(load.failures('read'), [])
  assert.equal(
    load.failures('write').filter((text) => !text.includes('expired')),
    [],
  )
  assert.equal(load.wrong, [])
  await node.restartServer()
  assert.equal(await load.differences(node.server.api), [])
  const seconds = (ms: number) => (ms / 1_000).toFixed(1)
  figure(
    `a changed file: Encrypt refused after ${seconds(noticed)} s, writes stopped after ${seconds(stopped.start - start)} s, reads never; writing again ${seconds(back)} s after the cure`,
  )
})

test.run()
