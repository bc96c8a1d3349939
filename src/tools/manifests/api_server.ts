/**
 * The API server's side: the EncryptionConfiguration, and how each distribution is configured to
 * use it.
 *
 * @module
 */

import { dirname } from 'node:path/posix'
import type { Plan } from './plan.ts'
import { kubesprayPatches, signerFlags, signerPatches, withoutSigner } from './signer.ts'
import { comment, indent, type ManifestFile, quoted } from './text.ts'

/** As in the pages of Kubernetes, in a folder of its own: a file that is mounted alone is never read again once it was replaced. */
export const FOLDER = '/etc/kubernetes/enc'
export const FILE = `${FOLDER}/enc.yaml`
const PLACE = `install -D -m 0600 encryption.yaml ${FILE}`

/** Of every API server. */
export function flagsOf(plan: Plan): Readonly<Record<string, string>> {
  return {
    'encryption-provider-config': FILE,
    'encryption-provider-config-automatic-reload': 'true',
    ...signerFlags(plan),
  }
}

export function encryptionConfig(plan: Plan): ManifestFile[] {
  return [{ path: 'encryption.yaml', text: encryptionText(plan) }]
}

export function encryptionText({ socketPath, providerName, resources }: Plan): string {
  return `${comment(`The same text on every control-plane node, mode 0600, root.

With several control-plane nodes put identity first on all of them, restart, and move kms to the front once every
API server can read through it. Without identity nothing that is still in the clear can be read: keep it last
until "trousseau scan" finds no plaintext, and remove it then.`)}
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [${resources.map(quoted).join(', ')}]
    providers:
      - kms:
          apiVersion: v2                 # without it, kube-apiserver takes v1
          name: ${providerName}
          # The name is stored with every object: never change it.
          endpoint: unix://${socketPath}
          timeout: 3s
      - identity: {}
`
}

export function volumesOf(
  plan: Plan,
): { name: string; path: string; readOnly: boolean; type: string }[] {
  const volume = (name: string, path: string, readOnly: boolean) => {
    return { name: `trousseau-${name}`, path, readOnly, type: 'Directory' }
  }
  // Mount folders and not the sockets: a socket that is made again would not be seen.
  const socket = dirname(plan.socketPath)
  const signer = Object.values(signerFlags(plan)).map((path) => dirname(path))
  return [
    volume('encryption', FOLDER, true),
    volume('socket', socket, false),
    ...signer.filter((path) => path !== socket).map((path) => volume('signer-socket', path, false)),
  ]
}

export function kubeadm(plan: Plan): ManifestFile[] {
  const volumes = volumesOf(plan).map(
    ({ name, path, readOnly, type }) =>
      `- { name: ${name}, hostPath: ${path}, mountPath: ${path}, readOnly: ${readOnly}, pathType: ${type} }\n`,
  )
  const extraArgs = Object.entries(flagsOf(plan)).map(
    ([name, value]) => `- { name: ${name}, value: ${plain(value)} }\n`,
  )
  const extra = `${comment(`For "kubeadm init": part of the kubeadm config. It is kept in the ConfigMap kubeadm-config, from which
"kubeadm join --control-plane" and "kubeadm upgrade" take it.
On a cluster that runs: the same into the ConfigMap kubeadm-config, then on one node after the other
"kubeadm init phase control-plane apiserver --config …". First the file on the node: ${PLACE}`)}
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
apiServer:
  extraArgs:
${indent(extraArgs.join(''), 4)}  extraVolumes:
${indent(volumes.join(''), 4)}`
  const patch = `${comment(`Instead of extraVolumes, a patch with the name kube-apiserver+strategic.yaml. Flags it cannot add: extraArgs stay
in the ClusterConfiguration. Beside --config kubeadm takes no --patches: give "patches: { directory: FOLDER }" in the
InitConfiguration or JoinConfiguration. kubeadm remembers no patches: "kubeadm upgrade apply" and "kubeadm upgrade node"
need --patches FOLDER every time. Without it the new API server has the flags and not the folders, and does not start.`)}
spec:
  containers:
    - name: kube-apiserver
      volumeMounts:
${indent(mountList(plan), 8)}  volumes:
${indent(volumeList(plan), 4)}`
  return [
    { path: 'kubeadm-config.yaml', text: extra },
    { path: 'kube-apiserver+strategic.yaml', text: patch },
    ...signerPatches(plan),
    ...encryptionConfig(plan),
  ]
}

function flagMap(plan: Plan): string {
  return Object.entries(flagsOf(plan))
    .map(([name, value]) => `${name}: ${plain(value)}\n`)
    .join('')
}

/** A flag's value, which is a path or what YAML would take for no text. */
function plain(value: string): string {
  return value.startsWith('/') ? value : quoted(value)
}

function mountList(plan: Plan): string {
  return volumesOf(plan)
    .map(
      ({ name, path, readOnly }) =>
        `- { name: ${name}, mountPath: ${path}, readOnly: ${readOnly} }\n`,
    )
    .join('')
}

function volumeList(plan: Plan): string {
  return volumesOf(plan)
    .map(
      ({ name, path, type }) => `- { name: ${name}, hostPath: { path: ${path}, type: ${type} } }\n`,
    )
    .join('')
}

/**
 * Both products run the API server in a process or pod of their own, and take its flags from their
 * own config.
 */
function rancher(plan: Plan, product: 'k3s' | 'rke2', note: string, rest: string): ManifestFile[] {
  const text = `${comment(`/etc/rancher/${product}/config.yaml, on every server node; first the file: ${PLACE}
${note}
Leave secrets-encryption off: it is ${product}'s own encryption with a key on the node, and both cannot be used.
${withoutSigner(plan, product)}`)}
kube-apiserver-arg:
  - encryption-provider-config=${FILE}
  - encryption-provider-config-automatic-reload=true
${rest}`
  return [{ path: 'config.yaml', text }, ...encryptionConfig(plan)]
}

export function k3s(plan: Plan): ManifestFile[] {
  const note = `k3s waits for its API server before its kubelet runs pods, so a static pod would come too late:
run the plugin by systemd ("trousseau manifests systemd"), which starts before k3s.service.`
  return rancher(plan, 'k3s', note, '')
}

export function rke2(plan: Plan): ManifestFile[] {
  const note = `The plugin as a static pod goes to /var/lib/rancher/rke2/agent/pod-manifests/, its image to
/var/lib/rancher/rke2/agent/images/; or run it by systemd, which starts before rke2-server.service.`
  const rest = `kube-apiserver-extra-mount:
  - ${FOLDER}:${FOLDER}:ro
  - ${dirname(plan.socketPath)}:${dirname(plan.socketPath)}
`
  return rancher(plan, 'rke2', note, rest)
}

/** @param staticPod the pod of the plugin, as YAML */
export function talos(plan: Plan, staticPod: string): ManifestFile[] {
  const folder = dirname(plan.socketPath)
  const pod = `${comment(`Talos 1.14 or later; on control-plane nodes: talosctl patch mc --patch @talos-pod.yaml
Talos keeps what lies below /var only, and runs its API server as user and group 65534 without any capability. So in
the plugin's config everything lies below /var/lib/trousseau; then make this again, with --user 65534.
Config and credentials come as machine.files, or by a static pod of your own that writes them.`)}
machine:
  pods:
    - ${indent(staticPod, 6).trimStart()}`
  const apiServer = `${comment(`Once the plugin answers on all control-plane nodes: talosctl patch mc --patch @talos-encryption.yaml
Before that, read the keys that Talos made itself: talosctl get mc -o yaml shows the document KubeEtcdEncryptionConfig.
Copy its secretbox provider in between kms and identity, with the same name and key, or nothing that is stored can be
read. The first document removes Talos' own, since patches would put its provider before this one.
A config that talosctl 1.14 generated has a document KubeAPIServerConfig. It has no volumes, and Talos refuses
cluster.apiServer beside it: put its image, extraArgs, env and certExtraSANs (certSANs there) into cluster.apiServer
below, and remove it with "$patch: delete" in the same patch.
${withoutSigner(plan, 'Talos')}`)}
apiVersion: v1alpha1
kind: KubeEtcdEncryptionConfig
$patch: delete
---
apiVersion: v1alpha1
kind: KubeEtcdEncryptionConfig
config:
${indent(encryptionText(plan), 2)}---
cluster:
  apiServer:
    extraVolumes:
      - { hostPath: ${folder}, mountPath: ${folder}, readonly: false }
`
  return [
    { path: 'talos-pod.yaml', text: pod },
    { path: 'talos-encryption.yaml', text: apiServer },
  ]
}

export function kubespray(plan: Plan): ManifestFile[] {
  const volumes = volumesOf(plan).map(
    ({ name, path, readOnly }) =>
      `- { name: ${name}, hostPath: ${path}, mountPath: ${path}, readOnly: ${readOnly} }\n`,
  )
  const text = `${comment(`inventory/…/group_vars/k8s_cluster/trousseau.yml; first the file on every control-plane node: ${PLACE}
Leave kube_encrypt_secret_data off: it is kubespray's own encryption with a key on the node.`)}
kube_kubeadm_apiserver_extra_args:
${indent(flagMap(plan), 2)}apiserver_extra_volumes:
${indent(volumes.join(''), 2)}${kubesprayPatches(plan)}`
  return [{ path: 'trousseau.yml', text }, ...encryptionConfig(plan)]
}
