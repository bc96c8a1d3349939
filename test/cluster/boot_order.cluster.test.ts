/**
 * A node that boots in every order: key service, plugin and API server each start while another one
 * is still missing, with older Secrets in etcd.
 *
 * @module
 */

import { rm } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { type Cluster, type ClusterNode, startCluster } from '../_lib/cluster/cluster.ts'
import { figure } from '../_lib/figure.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

/** Past the ten seconds after which the API server asks again. */
const MISSING_MS = 12_000
const READY_MS = 120_000

const test = suite('cluster/boot_order', () => ({}), 300_000)

type Part = 'key service' | 'plugin' | 'API server'

const ORDERS: readonly (readonly [Part, Part, Part])[] = [
  ['key service', 'plugin', 'API server'],
  ['plugin', 'API server', 'key service'],
  ['API server', 'plugin', 'key service'],
  ['API server', 'key service', 'plugin'],
]

async function ended({ bao }: Cluster, node: ClusterNode): Promise<void> {
  await node.server.process.stop('SIGKILL')
  await node.plugin.stop('SIGKILL')
  await bao.stop()
  // As after a reboot: /run is empty, and so is the plugin's memory of what was.
  await rm(node.folder, { recursive: true })
}

async function started(part: Part, { bao }: Cluster, node: ClusterNode): Promise<void> {
  if (part === 'key service') await bao.start()
  else if (part === 'plugin') await node.startPlugin()
  else node.server.process.launch()
}

/** Waits while something is missing: it answers by then, and says that it is not ready. */
async function waitsFor(node: ClusterNode): Promise<void> {
  const { api, process } = node.server
  const said = await until(
    'the API server says that it is not ready',
    async () => {
      assert.not.ok(process.exited, process.output().slice(-2_000))
      const answer = await api.health('/readyz').catch(() => undefined)
      return answer?.text.includes('[-]kms-provider') === true ? answer : undefined
    },
    { limitMs: 60_000, everyMs: 200 },
  )
  assert.not.ok(said.ok)
}

for (const order of ORDERS) {
  test(`${order.join(', then ')}: the API server waits and does not exit, and is ready by itself with every Secret [F1 F2]`, async () => {
    await using cluster = await startCluster()
    const node = await cluster.addNode()
    const { api, process } = node.server
    await api.createSecret('before', { value: 'from before the reboot' })
    await ended(cluster, node)

    for (const part of order.slice(0, -1)) {
      await started(part, cluster, node)
      if (order.indexOf('API server') <= order.indexOf(part)) {
        await waitsFor(node)
        await pause(MISSING_MS)
        await waitsFor(node)
      }
    }
    const [, , last] = order
    await started(last, cluster, node)
    const start = performance.now()
    await until(
      'the API server is ready',
      async () => {
        assert.not.ok(process.exited, process.output().slice(-2_000))
        return (await api.health('/readyz').catch(() => undefined))?.ok
      },
      { limitMs: READY_MS, everyMs: 100 },
    )
    const readyMs = performance.now() - start

    assert.equal(await api.readSecret('before'), { value: 'from before the reboot' })
    await api.createSecret('after', { value: 'from after it' })
    figure(`${order.join(', then ')}: ready ${(readyMs / 1_000).toFixed(1)} s after the last`)
  })
}

test.run()
