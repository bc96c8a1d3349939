/**
 * The programs of a cluster, built once from their Go modules into a cache outside the tree.
 * `test/cluster/go/` only says which modules at which versions.
 *
 * @module
 */

import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { goPrograms } from '../go/programs.ts'

const MODULES = fileURLToPath(new URL('../../cluster/go/', import.meta.url))

/** Minor versions of Kubernetes and the release that stands for each. */
const RELEASES = {
  '1.31': '1.31.14',
  '1.32': '1.32.2',
  '1.33': '1.33.13',
  '1.34': '1.34.4',
  '1.35': '1.35.4',
  '1.36': '1.36.3',
  '1.37': '1.37.2',
} as const
/** The same of etcd. */
const ETCD_RELEASES = ['3.5', '3.6', '3.7'] as const
type EtcdVersion = (typeof ETCD_RELEASES)[number]
const NEWEST_ETCD: EtcdVersion = '3.7'
export type KubernetesVersion = keyof typeof RELEASES
export const NEWEST: KubernetesVersion = '1.37'

interface KubernetesBinaries {
  readonly apiServer: string
  readonly controllerManager: string
  readonly kubectl: string
}

interface NodeBinaries {
  readonly kubelet: string
  readonly kubeadm: string
  readonly scheduler: string
}

interface ContainerdBinaries {
  readonly containerd: string
  readonly shim: string
  readonly ctr: string
}

interface EtcdBinaries {
  readonly etcd: string
  readonly etcdctl: string
  readonly etcdutl: string
}

/** The version to test: that of `KUBERNETES_VERSION`, or the newest. */
export function chosenVersion(): KubernetesVersion {
  const asked = process.env['KUBERNETES_VERSION'] ?? NEWEST
  const known = Object.keys(RELEASES).find((each): each is KubernetesVersion => each === asked)
  if (known !== undefined) return known
  throw new Error(`KUBERNETES_VERSION is ${asked}: wanted one of ${Object.keys(RELEASES)}`)
}

export async function kubernetesBinaries(
  version: KubernetesVersion = chosenVersion(),
): Promise<KubernetesBinaries> {
  const names = ['kube-apiserver', 'kube-controller-manager', 'kubectl']
  const folder = await builtKubernetes(`kubernetes-${version}`, version, names)
  return {
    apiServer: join(folder, 'kube-apiserver'),
    controllerManager: join(folder, 'kube-controller-manager'),
    kubectl: join(folder, 'kubectl'),
  }
}

/** What a node of the newest version has besides; built apart, since few tests need it. */
export async function nodeBinaries(): Promise<NodeBinaries> {
  const names = ['kubelet', 'kubeadm', 'kube-scheduler']
  const folder = await builtKubernetes(`kubernetes-node-${NEWEST}`, NEWEST, names)
  return {
    kubelet: join(folder, 'kubelet'),
    kubeadm: join(folder, 'kubeadm'),
    scheduler: join(folder, 'kube-scheduler'),
  }
}

/** @param name of the folder in the cache */
function builtKubernetes(
  name: string,
  version: KubernetesVersion,
  programs: readonly string[],
): Promise<string> {
  const release = RELEASES[version]
  const [major, minor] = release.split('.')
  const stamp = { gitVersion: `v${release}`, gitMajor: major, gitMinor: minor }
  return goPrograms({
    name,
    sources: join(MODULES, `kubernetes-${version}`),
    packages: programs.map((each) => `k8s.io/kubernetes/cmd/${each}`),
    linkerFlags: Object.entries(stamp).map(
      ([key, value]) => `-X k8s.io/component-base/version.${key}=${value}`,
    ),
  })
}

/** Of the minor version in `ETCD_VERSION`, or of the newest. */
export async function etcdBinaries(
  asked: string = process.env['ETCD_VERSION'] ?? NEWEST_ETCD,
): Promise<EtcdBinaries> {
  const version = ETCD_RELEASES.find((each) => each === asked)
  if (version === undefined) {
    throw new Error(`ETCD_VERSION is ${asked}: wanted one of ${ETCD_RELEASES}`)
  }
  const tools = ['go.etcd.io/etcd/etcdctl/v3', 'go.etcd.io/etcd/etcdutl/v3']
  const folder = await built(`etcd-${version}`, ['.', ...tools], [])
  return {
    etcd: join(folder, 'etcd'),
    etcdctl: join(folder, 'etcdctl'),
    etcdutl: join(folder, 'etcdutl'),
  }
}

/** A containerd that is newer than Debian's. */
export async function containerdBinaries(): Promise<ContainerdBinaries> {
  const names = ['containerd', 'containerd-shim-runc-v2', 'ctr']
  const packages = names.map((each) => `github.com/containerd/containerd/v2/cmd/${each}`)
  const folder = await built('containerd', packages, [])
  return {
    containerd: join(folder, 'containerd'),
    shim: join(folder, 'containerd-shim-runc-v2'),
    ctr: join(folder, 'ctr'),
  }
}

/** Helm's own program. */
export async function helmBinary(): Promise<string> {
  return join(await built('helm', ['helm.sh/helm/v4/cmd/helm'], []), 'helm')
}

function built(
  module: string,
  packages: readonly string[],
  linkerFlags: readonly string[],
): Promise<string> {
  return goPrograms({ name: module, sources: join(MODULES, module), packages, linkerFlags })
}
