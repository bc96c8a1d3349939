/**
 * A control-plane node after a power cut, when its parts start in whatever order comes, and when
 * the key service stays away.
 *
 * @module
 */

import { mkdir, rename } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { figure, since } from '../_lib/figure.ts'
import { installBaoPlugin } from '../_lib/kubelet/bao_plugin.ts'
import {
  createSecret,
  init,
  startControlPlaneMachine,
  stored,
  untilReady,
  wordOf,
} from '../_lib/kubelet/control_plane.ts'
import type { Machine } from '../_lib/kubelet/machine.ts'
import { enterNetwork, OUTSIDE } from '../_lib/kubelet/network.ts'
import { MANIFESTS } from '../_lib/kubelet/node.ts'
import { kubeadmFiles, PLUGIN } from '../_lib/kubelet/plugin.ts'
import { SeededRandom } from '../_lib/seeded_random.ts'
import { type OpenBao, startOpenBao } from '../_lib/services/vault/openbao.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const WAITING = '/etc/kubernetes/waiting'
/** The manifest of each part, and how its command line begins. */
const PODS = {
  plugin: { file: 'trousseau.yaml', command: PLUGIN },
  'API server': { file: 'kube-apiserver.yaml', command: 'kube-apiserver' },
  etcd: { file: 'etcd.yaml', command: 'etcd' },
} as const
type Part = keyof typeof PODS | 'key service'
const PARTS: readonly Part[] = ['plugin', 'API server', 'etcd', 'key service']
/** The worst first: what asks is there before what answers. */
const WORST: readonly Part[] = ['API server', 'plugin', 'etcd', 'key service']
const BY_CHANCE = 4
/** kubeadm's is 24, ten seconds each, by which the API server is never restarted. */
const STARTUP_FAILURES = 3
const RESTARTS = 2

await enterNetwork(import.meta.url)

const test = suite('kubelet/start_orders', () => ({}), 1_000_000)

test('whatever starts first, the node ends with an API server that serves what was written before', async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao({ host: OUTSIDE })
  await using machine = await encrypting(folder, bao)
  const random = SeededRandom.announced('kubelet/start_orders')
  const orders = [WORST, ...Array.from({ length: BY_CHANCE }, () => shuffled(random))]
  for (const [turn, order] of orders.entries()) {
    await allStopped(machine, bao)
    await machine.powerOn()
    for (const part of order) await started(part, machine, bao)
    const start = performance.now()
    await untilReady(machine)
    figure(`${order.join(', ')}: ready ${since(start)} after the last`)
    assert.is(await wordOf(machine, 'word'), 'open-sesame')
    await createSecret(machine, `after-${turn}`, 'once more')
    assert.match(await stored(machine, `after-${turn}`), /^k8s:enc:kms:v2:trousseau:/)
  }
})

test('while the key service is away the startup probe passes, and where its limit is shorter than that takes, the API server is restarted until the key service comes', async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao({ host: OUTSIDE })
  await using machine = await encrypting(folder, bao)
  const pidOf = (command: string) => machine.pidOf(command).catch(() => undefined)
  const another = (command: string, before?: string) =>
    until(
      `${command} is started`,
      async () => {
        const pid = await pidOf(command)
        return pid !== before && pid
      },
      { limitMs: 300_000, everyMs: 100 },
    )
  const before = await until('the kubelet knows its API server', async () => {
    const status = await statusOf(machine)
    return status.endsWith(' true') && status
  })
  await machine.powerOff()
  await bao.stop()
  const boot = performance.now()
  await machine.powerOn()
  const waiting = await another('kube-apiserver')
  await until(
    'the kubelet takes the API server for started',
    async () => {
      const status = await statusOf(machine)
      return status !== before && status.endsWith(' true')
    },
    { limitMs: 300_000, everyMs: 500 },
  )
  figure(`key service away: the startup probe passes ${since(boot)} after the power came back`)
  assert.is(await pidOf('kube-apiserver'), waiting)

  await machine.powerOff()
  await shortenStartup(machine)
  const again = performance.now()
  await machine.powerOn()
  const plugin = await another(PLUGIN)
  let server: string | undefined
  for (let starts = 0; starts <= RESTARTS; starts += 1) {
    server = await another('kube-apiserver', server)
    figure(
      `key service away: start ${starts + 1} with a shorter limit: ${since(again)} after the power came back`,
    )
  }

  const back = performance.now()
  await bao.start()
  await untilReady(machine)
  figure(`key service away: ready ${since(back)} after its start`)
  assert.is(await wordOf(machine, 'word'), 'open-sesame')
  assert.is(await pidOf(PLUGIN), plugin)
})

/** A kubeadm node with a Secret that is encrypted. */
async function encrypting(folder: TempFolder, bao: OpenBao): Promise<Machine> {
  const machine = await startControlPlaneMachine(folder)
  await installBaoPlugin(machine, await bao.setupTransit({ folder: folder.path }))
  const made = await kubeadmFiles(machine)
  await init(machine, await machine.read(`${made}/kubeadm-config.yaml`))
  await untilReady(machine)
  await createSecret(machine, 'word', 'open-sesame')
  return machine
}

/** Its kubelet will find no manifest of them at the next boot. */
async function allStopped(machine: Machine, bao: OpenBao): Promise<void> {
  await machine.powerOff()
  await bao.stop()
  await mkdir(machine.at(WAITING), { recursive: true })
  for (const { file } of Object.values(PODS)) {
    await rename(machine.at(`${MANIFESTS}/${file}`), machine.at(`${WAITING}/${file}`))
  }
}

/** Resolves when its process is there, well or not. */
async function started(part: Part, machine: Machine, bao: OpenBao): Promise<void> {
  if (part === 'key service') return await bao.start()
  const { file, command } = PODS[part]
  await rename(machine.at(`${WAITING}/${file}`), machine.at(`${MANIFESTS}/${file}`))
  await until(`${part} runs`, () => machine.pidOf(command).catch(() => undefined), { everyMs: 100 })
}

function shuffled(random: SeededRandom): Part[] {
  const left = [...PARTS]
  return PARTS.map(() => {
    const [picked] = left.splice(random.below(left.length), 1)
    if (picked === undefined) throw new Error('Nothing is left')
    return picked
  })
}

/** What the kubelet says of its container: `ID true` once the startup probe has passed. */
function statusOf(machine: Machine): Promise<string> {
  const status = '.status.containerStatuses[0]'
  const about = ['pod', `kube-apiserver-${machine.name}`, '--namespace=kube-system']
  const path = `--output=jsonpath={${status}.containerID} {${status}.started}`
  return machine.run('kubectl', 'get', ...about, path).catch(() => '')
}

async function shortenStartup(machine: Machine): Promise<void> {
  const path = `${MANIFESTS}/kube-apiserver.yaml`
  const before = await machine.read(path)
  const changed = before.replace(/(startupProbe:\n +failureThreshold: )24/, `$1${STARTUP_FAILURES}`)
  assert.is.not(changed, before)
  await machine.write(path, changed)
}

test.run()
