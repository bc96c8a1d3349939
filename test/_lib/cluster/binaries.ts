/**
 * The programs of a cluster, built once from their Go modules into a cache outside
 * the tree: what stands in `test/cluster/go/` is only which modules, at which versions.
 *
 * @module
 */

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const MODULES = fileURLToPath(new URL('../../cluster/go/', import.meta.url))
const CACHE = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'trousseau')
const run = promisify(execFile)

/** Minor versions of Kubernetes and the release that stands for each. */
const RELEASES = { '1.31': '1.31.14', '1.34': '1.34.4', '1.37': '1.37.2' } as const
export type KubernetesVersion = keyof typeof RELEASES
export const NEWEST: KubernetesVersion = '1.37'

export interface KubernetesBinaries {
  readonly apiServer: string
  readonly controllerManager: string
  readonly kubectl: string
}

export interface EtcdBinaries {
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
  const release = RELEASES[version]
  const [major, minor] = release.split('.')
  const stamp = { gitVersion: `v${release}`, gitMajor: major, gitMinor: minor }
  const folder = await built(
    `kubernetes-${version}`,
    names.map((name) => `k8s.io/kubernetes/cmd/${name}`),
    Object.entries(stamp).map(([key, value]) => `-X k8s.io/component-base/version.${key}=${value}`),
  )
  return {
    apiServer: join(folder, 'kube-apiserver'),
    controllerManager: join(folder, 'kube-controller-manager'),
    kubectl: join(folder, 'kubectl'),
  }
}

export async function etcdBinaries(): Promise<EtcdBinaries> {
  const tools = ['go.etcd.io/etcd/etcdctl/v3', 'go.etcd.io/etcd/etcdutl/v3']
  const folder = await built('etcd', ['.', ...tools], [])
  return {
    etcd: join(folder, 'etcd'),
    etcdctl: join(folder, 'etcdctl'),
    etcdutl: join(folder, 'etcdutl'),
  }
}

/** Helm's own program. */
export async function helmBinary(): Promise<string> {
  return join(await built('helm', ['helm.sh/helm/v4/cmd/helm'], []), 'helm')
}

/** Resolves to the folder of the programs, under a name that the module's files and the flags decide. */
async function built(
  module: string,
  packages: readonly string[],
  linkerFlags: readonly string[],
): Promise<string> {
  const sources = join(MODULES, module)
  const digest = createHash('sha256').update([...packages, ...linkerFlags].join('\n'))
  for (const file of (await readdir(sources)).sort()) {
    digest.update(await readFile(join(sources, file)))
  }
  const folder = join(CACHE, `${module}-${digest.digest('hex').slice(0, 16)}`)
  if (await exists(folder)) return folder
  await mkdir(CACHE, { recursive: true })
  const draft = await mkdtemp(join(CACHE, `${module}.new-`))
  try {
    const flags = ['-trimpath', '-ldflags', ['-s', '-w', ...linkerFlags].join(' ')]
    await run('go', ['build', ...flags, '-o', `${draft}/`, ...packages], {
      cwd: sources,
      env: {
        ...process.env,
        GOFLAGS: '-mod=readonly -buildvcs=false',
        GOTOOLCHAIN: 'local',
        CGO_ENABLED: '0',
      },
      maxBuffer: 64 * 1024 * 1024,
    })
    await rename(draft, folder).catch(async (error: unknown) => {
      if (!(await exists(folder))) throw error
    })
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
  return folder
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
