/** A machine that is made a node: containerd with its images, and the config of a kubelet. @module */

import { stringify } from 'yaml'
import manifest from '../../../package.json' with { type: 'json' }
import { DIST } from '../package/shipped.ts'
import { type TempFolder, tempFolder } from '../temp_folder.ts'
import { until } from '../wait.ts'
import { imageOf } from './images.ts'
import { Machine } from './machine.ts'
import { imagePrograms } from './programs.ts'

export const IMAGE = `localhost/trousseau:${manifest.version}`
export const MANIFESTS = '/etc/kubernetes/manifests'
export const PAUSE_IMAGE = 'localhost/pause:1'
const CTR = ['ctr', '--namespace', 'k8s.io']

const CONTAINERD = `version = 2
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "${PAUSE_IMAGE}"
# This machine may not let its processes lower their own score.
restrict_oom_score_adj = true
`

/** What this machine has no groups and no systemd for; all else is as kubeadm or the kubelet has it. */
export function kubeletConfig(): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    failCgroupV1: false,
    cgroupDriver: 'cgroupfs',
    cgroupsPerQOS: false,
    enforceNodeAllocatable: ['none'],
    makeIPTablesUtilChains: false,
    // By default, where less than 15 % are free, whatever uses the tests' disk, the kubelet evicts pods
    // and takes away images: with Debian's containerd that of the pause, without which no pod starts.
    evictionHard: { 'nodefs.available': '1Gi', 'imagefs.available': '1Gi' },
    imageGCHighThresholdPercent: 100,
  }
}

/**
 * A machine with containerd running, and the images of Trousseau and of pause. Its kubelet waits
 * for a config.
 *
 * @param programs by their names, instead of those that all machines have
 */
export async function startMachine(
  folder: TempFolder,
  number = 1,
  programs: Readonly<Record<string, string>> = {},
): Promise<Machine> {
  const machine = await Machine.create(folder, number, programs)
  await machine.write('/etc/containerd/config.toml', CONTAINERD)
  await machine.powerOn()
  await containerdAnswers(machine)
  await using drafts = await tempFolder()
  const { pause = '' } = await imagePrograms()
  await importImage(machine, await imageOf(drafts, PAUSE_IMAGE, pause, 'pause'))
  await importImage(machine, `${DIST}/trousseau-image.tar`)
  return machine
}

/** @param tar a file of this machine, which every node can read */
export async function importImage(machine: Machine, tar: string): Promise<void> {
  await machine.run(...CTR, 'images', 'import', tar)
}

async function containerdAnswers(machine: Machine): Promise<void> {
  await until('containerd answers', () =>
    machine.run(...CTR, 'version').then(
      () => true,
      () => false,
    ),
  )
}

/** Lets the kubelet run on its own: it has manifests, and no API server. */
export async function startAlone(machine: Machine, further: object = {}): Promise<void> {
  const alone = {
    ...kubeletConfig(),
    staticPodPath: MANIFESTS,
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: 'AlwaysAllow' },
    ...further,
  }
  await machine.write('/var/lib/kubelet/config.yaml', stringify(alone))
}
