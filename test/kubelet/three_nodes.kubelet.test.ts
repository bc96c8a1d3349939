/**
 * Three control-plane nodes of kubeadm under load, one after the other: the plugin gets another
 * version, the key another version, every node a reboot.
 *
 * @module
 */

import * as assert from 'uvu/assert'
import { SecretLoad } from '../_lib/cluster/secret_load.ts'
import { figure } from '../_lib/figure.ts'
import { BalancedApi } from '../_lib/kubelet/balanced_api.ts'
import { installBaoPlugin } from '../_lib/kubelet/bao_plugin.ts'
import {
  createSecret,
  init,
  join,
  startControlPlaneMachine,
  stored,
  untilReady,
} from '../_lib/kubelet/control_plane.ts'
import type { Machine } from '../_lib/kubelet/machine.ts'
import { enterNetwork, OUTSIDE } from '../_lib/kubelet/network.ts'
import { buildNextVersion, NEXT_IMAGE, NEXT_VERSION } from '../_lib/kubelet/next_version.ts'
import { importImage } from '../_lib/kubelet/node.ts'
import { kubeadmFiles, PLUGIN, POD, printed, SOCKET, untilWell } from '../_lib/kubelet/plugin.ts'
import { startOpenBao } from '../_lib/services/vault/openbao.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const NODES = [1, 2, 3] as const
/** Shorter than by default, so that the test is. */
const SOON = { rotation: { activationDelay: '10s' }, health: { interval: '3s' } }

/** An API server ends under its client, or etcd has lost its leader, without which none is ready. */
const OF_A_REBOOT =
  /ECONNRESET|other side closed|socket hang up|etcdserver: [\w ]+|no API server is ready/

await enterNetwork(import.meta.url)

const test = suite('kubelet/three_nodes', () => ({}), 1_100_000)

test('three nodes under load: plugins upgraded, the key rotated, every node rebooted, and no API server refuses a request for it', async () => {
  await using stack = new AsyncDisposableStack()
  const folder = stack.use(await tempFolder())
  const bao = stack.use(await startOpenBao({ host: OUTSIDE }))
  const transit = await bao.setupTransit({ folder: folder.path })
  const next = await buildNextVersion()
  const machines = await threeNodes(folder, stack, (machine) =>
    installBaoPlugin(machine, transit, SOON),
  )
  for (const machine of machines) await importImage(machine, next.image)
  const api = stack.use(await BalancedApi.of(machines))
  await using load = new SecretLoad({ apis: [api], pauseMs: 20 })
  await load.goesOn()

  const seen = { load, api }
  await measured({ ...seen, what: 'plugins upgraded' }, async () => {
    for (const machine of machines) await upgrade(machine)
  })
  await measured({ ...seen, what: 'key rotated' }, async () => {
    const before = await keyIdOf(machines[0])
    await bao.rotate(transit)
    for (const machine of machines) await follows(machine, before)
  })
  await measured({ ...seen, what: 'nodes rebooted', explained: OF_A_REBOOT }, async () => {
    for (const machine of machines) await reboot(machine)
  })

  await load.stop()
  assert.equal(load.wrong, [])
  assert.equal(await load.differences(api), [])
})

/** A cluster whose API servers encrypt. */
async function threeNodes(
  folder: TempFolder,
  stack: AsyncDisposableStack,
  install: (machine: Machine) => Promise<void>,
): Promise<[Machine, Machine, Machine]> {
  const [first, second, third] = await Promise.all(
    NODES.map((number) => startControlPlaneMachine(folder, { number })),
  )
  if (first === undefined || second === undefined || third === undefined) throw new Error('Wanted')
  const machines: [Machine, Machine, Machine] = [first, second, third]
  for (const machine of machines) {
    stack.use(machine)
    await install(machine)
    await kubeadmFiles(machine)
  }
  const config = await first.read('/etc/trousseau-kubeadm/kubeadm-config.yaml')
  await init(first, config)
  for (const machine of [second, third]) {
    await join(first, machine)
    await untilReady(machine, serverOf(machine))
  }
  return machines
}

function serverOf({ address }: Machine): string {
  return `--server=https://${address}:6443`
}

/** By the manifest, as docs/manifests.md says. */
async function upgrade(machine: Machine): Promise<void> {
  const old = await machine.pidOf(PLUGIN)
  await machine.write(POD, await printed(machine, 'static-pod', '--image', NEXT_IMAGE))
  await until('another process serves', async () => {
    const pid = await machine.pidOf(PLUGIN).catch(() => old)
    return !pid.split('\n').includes(old)
  })
  await untilWell(machine)
  const program = `/proc/${await machine.pidOf(PLUGIN)}/exe`
  assert.match(await machine.run(program, 'version'), NEXT_VERSION)
}

/** Resolves once the node's API server writes under another key id than before, and its plugin's own. */
async function follows(machine: Machine, before: string): Promise<void> {
  await until('the plugin has another key id', async () => (await keyIdOf(machine)) !== before)
  const keyId = await keyIdOf(machine)
  let turn = 0
  await until(
    'the API server writes under it',
    async () => {
      const name = `rotated-${machine.name}-${turn++}`
      await createSecret(machine, name, 'open-sesame', serverOf(machine))
      return (await stored(machine, name)).includes(keyId)
    },
    { everyMs: 1_000 },
  )
}

async function keyIdOf(machine: Machine): Promise<string> {
  const said = await machine.run('trousseau', 'status', '--socket', SOCKET)
  return /^key id +(tr1-\S+)$/m.exec(said)?.[1] ?? ''
}

async function reboot(machine: Machine): Promise<void> {
  await machine.shutDown()
  await machine.powerOn()
  await untilReady(machine, serverOf(machine))
  await untilWell(machine)
}

interface Phase {
  readonly load: SecretLoad
  readonly api: BalancedApi
  readonly what: string
  /** Failures that are not the plugin's; none without it. */
  readonly explained?: RegExp
}

/** Prints what the clients saw, and fails where they saw what is not explained. */
async function measured(
  { load, api, what, explained }: Phase,
  work: () => Promise<void>,
): Promise<void> {
  const [since, passedOn] = [performance.now(), api.passedOn]
  await work()
  await load.goesOn()
  const kinds = ['write', 'read'] as const
  const all = kinds.flatMap((kind) => load.of(kind, since))
  const failures = all.flatMap(({ failed, start, end }) =>
    failed === undefined ? [] : [{ why: explained?.exec(failed)?.[0] ?? failed, ms: end - start }],
  )
  const gaps = kinds.map((kind) => `${kind}s ${load.longestGapMs(kind, since)} ms`)
  const seconds = Math.round((performance.now() - since) / 1_000)
  figure(
    `three nodes, ${what} in ${seconds} s: ${all.length} requests, ${failures.length} failed, ${api.passedOn - passedOn} passed on to another API server; longest gap: ${gaps.join(', ')}`,
  )
  for (const [why, same = []] of Object.entries(Object.groupBy(failures, (each) => each.why))) {
    const longest = Math.round(Math.max(...same.map(({ ms }) => ms)))
    figure(`  ${same.length} failed, after ${longest} ms at most: ${why}`)
  }
  const others = failures.filter(({ why }) => explained?.test(why) !== true)
  assert.equal(others, [])
}

test.run()
