/** `kubeadm upgrade`, as far as a cluster without a pod network can do it. @module */

import { stringify } from 'yaml'
import { ownRelease } from './control_plane_images.ts'
import type { Machine } from './machine.ts'

const CONFIG = '/etc/kubernetes/upgrade.yaml'
/** Without a pod network no node is ready, and no Job is run; control groups and addons as at `init`. */
const NOT_HERE =
  'SystemVerification,CreateJob,ControlPlaneNodesReady,CoreDNSUnsupportedPlugins,CoreDNSMigration'
const AS_AT_INIT = [`--ignore-preflight-errors=${NOT_HERE}`, '--skip-phases=addon']

interface UpgradeOptions {
  /** The folder of patches. */
  readonly patches?: string
  /** How long kubeadm waits for a part that it has upgraded. */
  readonly waits?: string
}

/** On the first node: to kubeadm's own release. */
export async function upgradeApply(
  machine: Machine,
  options: UpgradeOptions = {},
): Promise<string> {
  const release = await ownRelease(machine)
  await machine.write(CONFIG, configOf(release, options))
  return await machine.run(
    'kubeadm',
    'upgrade',
    'apply',
    '--yes',
    '--config',
    CONFIG,
    ...AS_AT_INIT,
  )
}

function configOf(release: string, { patches, waits }: UpgradeOptions): string {
  return stringify({
    apiVersion: 'kubeadm.k8s.io/v1beta4',
    kind: 'UpgradeConfiguration',
    apply: {
      kubernetesVersion: release,
      ...(patches === undefined ? {} : { patches: { directory: patches } }),
    },
    ...(waits === undefined ? {} : { timeouts: { upgradeManifests: waits } }),
  })
}
