/**
 * `kubeadm upgrade` from one release of the control plane to the next, where the printed patch
 * brings the folders: it must be given again, and nothing is lost where it was forgotten. For kubeadm
 * a release is the name of its images; both hold the same programs here.
 *
 * @module
 */

import * as assert from 'uvu/assert'
import { parse, stringify } from 'yaml'
import { figure, since } from '../_lib/figure.ts'
import {
  createSecret,
  init,
  startControlPlaneMachine,
  stored,
  untilReady,
  wordOf,
} from '../_lib/kubelet/control_plane.ts'
import { importControlPlane, ownRelease } from '../_lib/kubelet/control_plane_images.ts'
import { upgradeApply } from '../_lib/kubelet/kubeadm_upgrade.ts'
import type { Machine } from '../_lib/kubelet/machine.ts'
import { enterNetwork } from '../_lib/kubelet/network.ts'
import { installPlugin, kubeadmFiles, PLUGIN, untilWell } from '../_lib/kubelet/plugin.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

await enterNetwork(import.meta.url)

const test = suite('kubelet/kubeadm_upgrade', () => ({}), 900_000)

test('kubeadm upgrade keeps flags and folders where the patch is given again; without it, it takes the old API server back', async () => {
  await using folder = await tempFolder()
  await using machine = await startControlPlaneMachine(folder)
  const release = await ownRelease(machine)
  const earlier = release.replace(/\d+$/, '0')
  await importControlPlane(machine, earlier)
  await installPlugin(machine)
  await untilReadyWithPatch(machine, earlier)
  await createSecret(machine, 'word', 'open-sesame')
  const plugin = await machine.pidOf(PLUGIN)
  const patches = '/etc/trousseau-kubeadm'

  // As somebody does it who forgets the patch.
  const refusal = await rejection(upgradeApply(machine, { waits: '1m' }))
  assert.match(String(refusal), /has tried to recover everything into the earlier state/)
  await untilReady(machine)
  await runs(machine, earlier)
  assert.is(await wordOf(machine, 'word'), 'open-sesame')

  const start = performance.now()
  await upgradeApply(machine, { patches })
  await untilReady(machine)
  figure(`kubeadm upgrade with the patch: ${since(start)}`)
  await runs(machine, release)
  assert.is(await wordOf(machine, 'word'), 'open-sesame')
  await createSecret(machine, 'later', 'once more')
  assert.match(await stored(machine, 'later'), /^k8s:enc:kms:v2:trousseau:/)
  assert.is(await machine.pidOf(PLUGIN), plugin)
  await untilWell(machine)
})

/** The flags by the ClusterConfiguration, and the folders by the patch. */
async function untilReadyWithPatch(machine: Machine, release: string): Promise<void> {
  const patches = await kubeadmFiles(machine)
  const { apiServer } = parse(await machine.read(`${patches}/kubeadm-config.yaml`))
  const config = stringify({ apiServer: { extraArgs: apiServer.extraArgs } })
  await init(machine, config, { release, patches })
  await untilReady(machine)
}

/** Resolves once the cluster has the API server's pod with that release's image. */
async function runs(machine: Machine, release: string): Promise<void> {
  const about = ['pod', `kube-apiserver-${machine.name}`, '--namespace=kube-system']
  const path = '--output=jsonpath={.spec.containers[0].image}'
  await until(`an API server of ${release} runs`, async () =>
    (await machine.run('kubectl', 'get', ...about, path)).endsWith(`:${release}`),
  )
}

test.run()
