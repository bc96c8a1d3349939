/**
 * The plugin killed with SIGKILL and started again while Secrets are written and read,
 * and the API server with it.
 *
 * @module
 */

import { stat } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { type ClusterNode, startCluster } from '../_lib/cluster/cluster.ts'
import { PLANTED, SecretLoad } from '../_lib/cluster/secret_load.ts'
import { figure } from '../_lib/figure.ts'
import { SeededRandom } from '../_lib/seeded_random.ts'
import { suite } from '../_lib/uvu.ts'

const KILLS = 6
const LONGEST_GONE_MS = 2_000
const LONGEST_QUIET_MS = 1_500

const test = suite('cluster/plugin_killed', () => ({}), 300_000)

/** Ends it, leaves its socket behind, and starts it again after a while. */
async function kill(node: ClusterNode, random: SeededRandom): Promise<void> {
  await node.plugin.stop('SIGKILL')
  const stale = await stat(node.socketPath)
  await pause(random.below(LONGEST_GONE_MS))
  await node.startPlugin()
  await node.healthyPlugin()
  const socket = await stat(node.socketPath)
  assert.ok(socket.isSocket() && socket.ino !== stale.ino, 'the stale socket is replaced')
}

test('the plugin killed at random moments: no write and no read fails, and the stale socket is replaced [T5 T14]', async () => {
  const random = SeededRandom.announced('plugin_killed')
  await using cluster = await startCluster()
  const node = await cluster.addNode()
  await using load = new SecretLoad({ apis: [node.server.api] })
  await load.goesOn()
  const since = performance.now()

  for (let times = 0; times < KILLS; times += 1) {
    await pause(random.below(LONGEST_QUIET_MS))
    await kill(node, random)
  }
  await load.goesOn()
  await load.stop()

  assert.equal(load.failures('write'), [])
  assert.equal(load.failures('read'), [])
  assert.equal(load.wrong, [])
  const counts = `${load.of('write').length} writes and ${load.of('read').length} reads`
  figure(
    `plugin killed ${KILLS} times during ${counts}: none failed; the slowest write took ${load.slowestMs('write', since)} ms, the slowest read ${load.slowestMs('read', since)} ms`,
  )

  // From now on nothing is in memory, neither seeds nor Secrets.
  await node.restartServer()
  assert.equal(await load.differences(node.server.api), [])
  for (const [key, value] of await cluster.etcd.read('/registry/')) {
    assert.not.ok(value.includes(PLANTED), key)
  }
})

test('plugin and API server killed together: what was acknowledged is there, and both come back by themselves', async () => {
  const random = SeededRandom.announced('plugin_killed together')
  await using cluster = await startCluster()
  const node = await cluster.addNode()
  await using load = new SecretLoad({ apis: [node.server.api] })
  await load.goesOn()
  const times: number[] = []

  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    const start = performance.now()
    await Promise.all([kill(node, random), node.restartServer(signal)])
    await load.goesOn()
    times.push(performance.now() - start)
  }
  await load.stop()

  assert.equal(load.wrong, [])
  await node.restartServer()
  assert.equal(await load.differences(node.server.api), [])
  const seconds = times.map((time) => (time / 1_000).toFixed(1)).join(' and ')
  figure(
    `plugin and API server killed together: 20 writes and reads done after ${seconds} s; of ${load.of('write').length} writes ${load.failures('write').length} failed, every other one is there`,
  )
})

test.run()
