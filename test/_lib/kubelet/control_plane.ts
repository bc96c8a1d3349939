/** A control plane that kubeadm makes on a node, of images that are made here. @module */

import { parse, stringify } from 'yaml'
import type { TempFolder } from '../temp_folder.ts'
import { until } from '../wait.ts'
import { importControlPlane, ownRelease } from './control_plane_images.ts'
import type { Machine } from './machine.ts'
import { kubeletConfig, startMachine } from './node.ts'

const KUBEADM_CONFIG = '/etc/kubernetes/kubeadm.yaml'
export const ADMIN = '/etc/kubernetes/admin.conf'
const ETCD_PKI = '/etc/kubernetes/pki/etcd'
const ETCDCTL = [
  'etcdctl',
  '--endpoints=https://127.0.0.1:2379',
  `--cacert=${ETCD_PKI}/ca.crt`,
  `--cert=${ETCD_PKI}/server.crt`,
  `--key=${ETCD_PKI}/server.key`,
]
const READY_MS = 240_000
/** The tests' machine has version 1 of control groups alone, of which kubeadm warns. */
const IGNORED = '--ignore-preflight-errors=SystemVerification'
/** Of what kubeadm installs besides the control plane there are no images here, and nothing needs it. */
const WITHOUT_ADDONS = { dns: { disabled: true }, proxy: { disabled: true } }

interface MachineOptions {
  readonly number?: number
  /** By their names, besides those that all machines have. */
  readonly programs?: Readonly<Record<string, string>>
}

/** A machine with the images that this kubeadm names, and no cluster. */
export async function startControlPlaneMachine(
  folder: TempFolder,
  { number, programs }: MachineOptions = {},
): Promise<Machine> {
  const machine = await startMachine(folder, number, programs)
  await importControlPlane(machine)
  return machine
}

interface InitOptions {
  /** Of the control plane, with a `v`, where it is not kubeadm's own. */
  readonly release?: string
  /** The folder of patches. */
  readonly patches?: string
  /** Of kubeadm and of the probes that it writes. */
  readonly timeouts?: object
}

/**
 * `kubeadm init`, whole but for the addons.
 *
 * @param clusterConfiguration what the product prints for it, or nothing
 */
export async function init(
  machine: Machine,
  clusterConfiguration = '',
  options: InitOptions = {},
): Promise<string> {
  const cluster = {
    apiVersion: 'kubeadm.k8s.io/v1beta4',
    kind: 'ClusterConfiguration',
    kubernetesVersion: options.release ?? (await ownRelease(machine)),
    controlPlaneEndpoint: `${machine.address}:6443`,
    ...WITHOUT_ADDONS,
    ...parse(clusterConfiguration),
  }
  const documents = [cluster, initConfiguration(machine, options), kubeletConfig()].map((each) =>
    stringify(each),
  )
  await machine.write(KUBEADM_CONFIG, documents.join('---\n'))
  return await machine.run(
    ...['kubeadm', 'init', '--config', KUBEADM_CONFIG, '--skip-phases=addon', IGNORED],
  )
}

/** `kubeadm join --control-plane`: a further node of the cluster of the first, with what kubeadm itself brings there. */
export async function join(first: Machine, machine: Machine): Promise<void> {
  const config = ['--config', KUBEADM_CONFIG]
  const said = await first.run(
    'kubeadm',
    'init',
    'phase',
    'upload-certs',
    '--upload-certs',
    ...config,
  )
  const key = /^[0-9a-f]{64}$/m.exec(said)?.[0] ?? ''
  const command = (await first.run('kubeadm', 'token', 'create', '--print-join-command')).trim()
  const here = [`--apiserver-advertise-address=${machine.address}`, `--node-name=${machine.name}`]
  const asServer = ['--control-plane', `--certificate-key=${key}`, ...here, IGNORED]
  await machine.run(...command.split(/\s+/), ...asServer)
}

/**
 * Changes a cluster that runs as the printed file says: in the ConfigMap, and on this node.
 *
 * @param change part of a ClusterConfiguration
 * @param patches the folder of patches, where there are some
 */
export async function reconfigure(
  machine: Machine,
  change: (before: object) => object,
  patches?: string,
): Promise<void> {
  const read = ['get', 'configmap', 'kubeadm-config', '--namespace=kube-system']
  const jsonPath = '--output=jsonpath={.data.ClusterConfiguration}'
  const before = await machine.run('kubectl', ...read, jsonPath)
  const documents = [
    change(parse(before)),
    initConfiguration(machine, patches === undefined ? {} : { patches }),
  ]
  await machine.write(KUBEADM_CONFIG, documents.map((each) => stringify(each)).join('---\n'))
  const config = ['--config', KUBEADM_CONFIG]
  await machine.run('kubeadm', 'init', 'phase', 'upload-config', 'kubeadm', ...config)
  await machine.run('kubeadm', 'init', 'phase', 'control-plane', 'apiserver', ...config)
}

function initConfiguration({ name, address }: Machine, { patches, timeouts }: InitOptions): object {
  return {
    apiVersion: 'kubeadm.k8s.io/v1beta4',
    kind: 'InitConfiguration',
    localAPIEndpoint: { advertiseAddress: address },
    nodeRegistration: { name, kubeletExtraArgs: [{ name: 'node-ip', value: address }] },
    ...(patches === undefined ? {} : { patches: { directory: patches } }),
    ...(timeouts === undefined ? {} : { timeouts }),
  }
}

/** @param flags of kubectl, such as those that name another API server */
export async function untilReady(machine: Machine, ...flags: readonly string[]): Promise<void> {
  await until(
    'the API server is ready',
    () =>
      machine.run('kubectl', 'get', '--raw=/readyz', ...flags).then(
        (text) => text === 'ok',
        () => false,
      ),
    { everyMs: 100, limitMs: READY_MS },
  ).catch(async (cause: unknown) => {
    const checks = await machine
      .run('kubectl', 'get', '--raw=/readyz?verbose', ...flags)
      .catch(String)
    const words = await machine.lastWords(15, 'kube-apiserver', 'etcd', 'trousseau')
    throw new Error(`The API server is not ready: ${checks}\n${words}`, { cause })
  })
}

/** The value of a Secret as etcd holds it. */
export function stored(machine: Machine, name: string): Promise<string> {
  const key = `/registry/secrets/default/${name}`
  return machine.run(...ETCDCTL, 'get', key, '--print-value-only')
}

/** @param flags of kubectl */
export async function createSecret(
  machine: Machine,
  name: string,
  word: string,
  ...flags: readonly string[]
): Promise<void> {
  const create = ['kubectl', 'create', 'secret', 'generic', name, `--from-literal=word=${word}`]
  await machine.run(...create, ...flags)
}

/** @param flags of kubectl */
export async function wordOf(
  machine: Machine,
  name: string,
  ...flags: readonly string[]
): Promise<string> {
  const read = ['kubectl', 'get', 'secret', name, '--output=jsonpath={.data.word}']
  return atob(await machine.run(...read, ...flags))
}
