/** Every kind of manifest, in one literal table that shows all of them. @module */

import { decideNames, setupInputOf } from '../../services/vault/setup/input.ts'
import { policyText } from '../../services/vault/setup/policy.ts'
import { setupScript } from '../../services/vault/setup/script.ts'
import { setupSteps } from '../../services/vault/setup/steps.ts'
import { encryptionConfig, k3s, kubeadm, kubespray, rke2, talos } from './api_server.ts'
import { daemonSet, kustomize, staticPod } from './cluster.ts'
import { clusterApi } from './cluster_api.ts'
import { helmValues } from './helm.ts'
import { systemd } from './node.ts'
import { openshift } from './openshift.ts'
import type { Plan } from './plan.ts'
import { tmpfiles } from './pod.ts'
import { sidecar } from './sidecar.ts'
import type { ManifestFile } from './text.ts'
import { vaultAgent } from './vault_agent.ts'

export interface Kind {
  readonly about: string
  /** Empty where the config needs nothing of this kind. */
  make(plan: Plan): ManifestFile[]
}

export const KINDS = {
  'static-pod': { about: 'a pod that the kubelet runs without an API server', make: staticPod },
  tmpfiles: { about: 'the folders that a pod needs on its node', make: tmpfiles },
  systemd: { about: 'a hardened unit, and its user', make: systemd },
  'encryption-config': {
    about: 'the EncryptionConfiguration of kube-apiserver',
    make: encryptionConfig,
  },
  daemonset: { about: 'for control planes that are hosted elsewhere', make: daemonSet },
  kustomize: { about: 'the same as a kustomize base', make: kustomize },
  sidecar: { about: "a patch for an API server's pod of a hosted control plane", make: sidecar },
  'helm-values': { about: 'values for the chart in deploy/chart', make: helmValues },
  'vault-agent': {
    about: 'a static pod with a Vault agent that logs in, and the config for it',
    make: vaultAgent,
  },
  vault: { about: 'policy and commands for Vault and OpenBao', make: vault },
  kubeadm: { about: 'kubeadm config or patch, and EncryptionConfiguration', make: kubeadm },
  'cluster-api': { about: 'part of a KubeadmControlPlane of Cluster API', make: clusterApi },
  k3s: { about: 'config.yaml of k3s, and EncryptionConfiguration', make: k3s },
  rke2: { about: 'config.yaml of RKE2, and EncryptionConfiguration', make: rke2 },
  talos: {
    about: 'machine config patches of Talos',
    make: (plan) => talos(plan, staticPod(plan)[0]?.text.replaceAll(/^#.*\n/gm, '') ?? ''),
  },
  kubespray: {
    about: 'group variables of kubespray, and EncryptionConfiguration',
    make: kubespray,
  },
  openshift: {
    about: 'APIServer resource of OpenShift and OKD, which run the plugin themselves',
    make: openshift,
  },
} as const satisfies Readonly<Record<string, Kind>>

export type KindName = keyof typeof KINDS
export const KIND_NAMES = Object.keys(KINDS) as KindName[]

function vault({ config, client: cli }: Plan): ManifestFile[] {
  const files = config.providers.flatMap((provider) => {
    if (provider.type !== 'vault') return []
    const setup = decideNames(setupInputOf(provider), { cli, replacePolicy: false })
    return [
      { path: `${provider.name}-policy.hcl`, text: policyText(setup.input) },
      { path: `${provider.name}-setup.sh`, text: setupScript(setup, setupSteps(setup)) },
    ]
  })
  const key = config.signer?.key
  return key?.type === 'vault'
    ? [...files, { path: 'signer-policy.hcl', text: policyText({ ...key, signs: true }) }]
    : files
}
