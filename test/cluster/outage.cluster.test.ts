/**
 * The key service is away in every possible way, and for longer than an API server can go on by
 * itself, while Secrets are written and read.
 *
 * @module
 */

import * as assert from 'uvu/assert'
import { type Cluster, type ClusterNode, startCluster } from '../_lib/cluster/cluster.ts'
import { ReadinessWatch } from '../_lib/cluster/readiness.ts'
import { SecretLoad } from '../_lib/cluster/secret_load.ts'
import { figure } from '../_lib/figure.ts'
import { type PlainProxy, startPlainProxy } from '../_lib/remote/plain_proxy.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

/** An API server writes for three minutes after the last good Status. */
const LONGER_THAN_IT_COASTS_MS = 200_000
const COASTS_MS = 180_000
/** Slower than `requestTimeout`. */
const SLOW_MS = 4_000

const test = suite('cluster/outage', () => ({}), 600_000)

interface Outage {
  readonly begin: () => unknown
  readonly end: () => unknown
  /** What the plugin's own /readyz says of it. */
  readonly says: RegExp
}

function outagesOf({ bao }: Cluster, proxy: PlainProxy): Readonly<Record<string, Outage>> {
  const slow = (delayMs: number) => () => {
    proxy.delayMs = delayMs
  }
  return {
    stopped: { begin: () => bao.stop(), end: () => bao.start(), says: /./ },
    frozen: { begin: () => bao.freeze(), end: () => bao.thaw(), says: /./ },
    sealed: { begin: () => bao.seal(), end: () => bao.unseal(), says: /./ },
    slow: { begin: slow(SLOW_MS), end: slow(0), says: /./ },
  }
}

/** The plugin's own word. */
function readyz(node: ClusterNode): Promise<string> {
  return node.adminPage('/readyz')
}

async function pluginIsWell(node: ClusterNode): Promise<void> {
  const well = async () => (await readyz(node)) === 'ok\n'
  await until('the plugin is well', well, { limitMs: 60_000, everyMs: 50 })
}

test('the key service stopped, frozen, sealed, slow: no read and no write fails and the API server stays ready, while the plugin says what is wrong', async () => {
  await using cluster = await startCluster()
  await using proxy = await startPlainProxy()
  const providers = [{ ...cluster.provider, proxy: { url: proxy.url } }]
  const node = await cluster.addNode({ config: { providers } })
  await using load = new SecretLoad({ apis: [node.server.api] })
  await using ready = new ReadinessWatch(node.server.api)
  await load.goesOn()

  for (const [name, { begin, end, says }] of Object.entries(outagesOf(cluster, proxy))) {
    const start = performance.now()
    await begin()
    const said = await until(
      `the plugin says that the key service is ${name}`,
      async () => {
        const text = await readyz(node)
        return text === 'ok\n' ? undefined : text
      },
      { limitMs: 30_000 },
    )
    const noticed = performance.now() - start
    assert.match(said, says)
    await load.goesOn()
    assert.is((await node.plugin.client.v2.status()).healthz, 'ok')
    await end()
    const cured = performance.now()
    await pluginIsWell(node)
    const seconds = (ms: number) => (ms / 1_000).toFixed(1)
    figure(
      `key service ${name}: noticed after ${seconds(noticed)} s, well again ${seconds(performance.now() - cured)} s after the cure; it said: ${said.trim()}`,
    )
  }
  await Promise.all([load.stop(), ready.stop()])

  assert.equal(load.failures('write'), [])
  assert.equal(load.failures('read'), [])
  assert.equal(load.wrong, [])
  assert.equal(ready.refusals, [])
  await node.restartServer()
  assert.equal(await load.differences(node.server.api), [])
})

test('away for longer than the API server coasts: with outageHold writes go on and it stays ready; without it writes stop after three minutes, and reads do not', async () => {
  await using cluster = await startCluster()
  const held = await cluster.addNode({ name: 'held' })
  const bare = await cluster.addNode({
    name: 'bare',
    config: { health: { interval: '500ms', outageHold: '0s' } },
  })
  await using load = new SecretLoad({ apis: [held.server.api], name: 'held', pauseMs: 20 })
  await using bareLoad = new SecretLoad({ apis: [bare.server.api], name: 'bare', pauseMs: 50 })
  await Promise.all([load.goesOn(), bareLoad.goesOn()])
  await using ready = new ReadinessWatch(held.server.api)
  await using bareReady = new ReadinessWatch(bare.server.api)

  const start = performance.now()
  await cluster.bao.stop()
  await until('the API server without a hold is not ready', () => bareReady.refusals.length > 0, {
    limitMs: 60_000,
  })
  const stopped = await until(
    'it does not write any more',
    () => bareLoad.of('write').find(({ failed }) => failed?.includes('expired')),
    { limitMs: 2 * COASTS_MS, everyMs: 200 },
  )
  const away = () => performance.now() - start
  await until('it is longer than it coasts', () => away() > LONGER_THAN_IT_COASTS_MS, {
    limitMs: LONGER_THAN_IT_COASTS_MS,
    everyMs: 200,
  })
  await load.goesOn()
  const gone = away()
  await cluster.bao.start()
  const cured = performance.now()
  await Promise.all([bareLoad.goesOn(), pluginIsWell(held)])
  const back = performance.now() - cured
  await Promise.all([load.stop(), bareLoad.stop(), ready.stop(), bareReady.stop()])

  assert.equal(load.failures('write'), [])
  assert.equal(load.failures('read'), [])
  assert.equal(ready.refusals, [])
  assert.ok(stopped.start - start > COASTS_MS / 2, 'it coasts')
  assert.equal(bareLoad.failures('read'), [])
  assert.equal(
    bareLoad.failures('write').filter((text) => !text.includes('expired')),
    [],
  )
  assert.equal([...load.wrong, ...bareLoad.wrong], [])
  await held.restartServer()
  for (const each of [load, bareLoad]) assert.equal(await each.differences(held.server.api), [])
  const seconds = (ms: number) => Math.round(ms / 1_000)
  figure(
    `key service away for ${seconds(gone)} s: with outageHold no failure in ${load.of('write', start).length} writes and ${load.of('read', start).length} reads, ready ${ready.asked} times of ${ready.asked}, longest gap between writes ${load.longestGapMs('write', start)} ms`,
  )
  figure(
    `the same without outageHold: writes stopped after ${seconds(stopped.start - start)} s, reads never; writing again ${seconds(back)} s after the cure`,
  )
})

test.run()
