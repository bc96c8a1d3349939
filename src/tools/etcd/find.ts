/**
 * Finds the etcd of this control-plane node, and the certificates with which its API server
 * connects to it, where kubeadm, RKE2 and k3s keep them. It only reads files.
 *
 * @module
 */

import { access } from 'node:fs/promises'
import { KmsError, systemCodeOf, systemReasonOf } from '../../base/errors.ts'
import {
  type Container,
  flagOf,
  onNode,
  plain,
  readStaticPod,
  type StaticPod,
} from '../kube/static_pod.ts'

export interface EtcdPlace {
  /** The file in which this was found. */
  readonly from: string
  readonly endpoints: readonly string[]
  readonly cacert?: string
  readonly cert?: string
  readonly key?: string
  readonly prefix?: string
}

interface Flags {
  readonly container: string
  readonly endpoints: string
  readonly cacert: string
  readonly cert: string
  readonly key: string
}

const API_SERVER: Flags = {
  container: 'kube-apiserver',
  endpoints: 'etcd-servers',
  cacert: 'etcd-cafile',
  cert: 'etcd-certfile',
  key: 'etcd-keyfile',
}
/** kubeadm's certificate of an etcd member is also a client certificate. */
const MEMBER: Flags = {
  container: 'etcd',
  endpoints: 'advertise-client-urls',
  cacert: 'trusted-ca-file',
  cert: 'cert-file',
  key: 'key-file',
}
const MANIFESTS: readonly (readonly [path: string, flags: Flags])[] = [
  ['/etc/kubernetes/manifests/kube-apiserver.yaml', API_SERVER],
  ['/var/lib/rancher/rke2/agent/pod-manifests/kube-apiserver.yaml', API_SERVER],
  ['/etc/kubernetes/manifests/etcd.yaml', MEMBER],
]
/** k3s runs both in its own process, and writes no manifest. */
const K3S = '/var/lib/rancher/k3s/server'
const K3S_TLS = `${K3S}/tls/etcd`
const K3S_SQLITE = `${K3S}/db/state.db`
const LOCAL = 'https://127.0.0.1:2379'
const NAME_IT = '--endpoints names etcd, or --snapshot a file of it'

/**
 * @param root the folder that the node's paths are below
 * @throws KmsError where there is none, or it may not be read
 */
export async function findEtcd(root: string): Promise<EtcdPlace> {
  for (const [path, flags] of MANIFESTS) {
    if (await isThere(root + path)) return await placeIn(root, path, flags)
  }
  if (await isThere(`${root}${K3S_TLS}/client.crt`)) {
    const [cacert, cert, key] = ['server-ca.crt', 'client.crt', 'client.key'].map(
      (name) => `${root}${K3S_TLS}/${name}`,
    )
    return { from: K3S_TLS, endpoints: [LOCAL], cacert, cert, key } as EtcdPlace
  }
  const why = (await isThere(root + K3S_SQLITE))
    ? 'This k3s keeps its objects in SQLite, which is not read'
    : 'No etcd of kubeadm, RKE2 or k3s was found on this node'
  throw new KmsError(`${why}: ${NAME_IT}`, { code: 'request_invalid' })
}

async function placeIn(root: string, path: string, flags: Flags): Promise<EtcdPlace> {
  const pod = await readStaticPod(root + path)
  const container = pod.spec.containers.find(({ name }) => name === flags.container)
  const endpoints = container && flagOf(container, flags.endpoints)
  if (container === undefined || endpoints === undefined) {
    throw new KmsError(`${path} has no --${flags.endpoints}: ${NAME_IT}`, {
      code: 'request_invalid',
    })
  }
  if (!endpoints.split(',').every((each) => /^https?:/.test(each))) {
    throw new KmsError(`The API server of ${path} keeps its objects elsewhere than in etcd`, {
      code: 'request_invalid',
    })
  }
  const file = (flag: string) => fileOf(root, pod, container, flag)
  return {
    from: path,
    endpoints: endpoints.split(','),
    ...present('cacert', file(flags.cacert)),
    ...present('cert', file(flags.cert)),
    ...present('key', file(flags.key)),
    ...present('prefix', flagOf(container, 'etcd-prefix')),
  }
}

function fileOf(
  root: string,
  pod: StaticPod,
  container: Container,
  flag: string,
): string | undefined {
  const path = flagOf(container, flag)
  if (path === undefined) return undefined
  return root + (onNode(pod, container, plain(path)) ?? plain(path))
}

function present<K extends string>(key: K, value: string | undefined): Partial<Record<K, string>> {
  return value === undefined ? {} : ({ [key]: value } as Record<K, string>)
}

/** @throws KmsError where that cannot be known, since the user may not read the folder */
async function isThere(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch (cause) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCodeOf(cause) ?? '')) return false
    throw new KmsError(`Cannot look for ${path}: ${systemReasonOf(cause)}; run this as root`, {
      code: 'request_invalid',
      cause,
    })
  }
}
