/**
 * For Cluster API with kubeadm: what a KubeadmControlPlane says of the API server, and the files that each of
 * its machines is made with.
 *
 * @module
 */

import { dirname } from 'node:path/posix'
import { commandLine } from '../../base/shell.ts'
import { encryptionText, FILE, flagsOf, volumesOf } from './api_server.ts'
import { staticPod } from './cluster.ts'
import { CREDENTIALS_SECRET, credentialsOf, fromFiles } from './credentials.ts'
import type { Plan } from './plan.ts'
import { tmpfiles } from './pod.ts'
import { labelCommands } from './selinux.ts'
import { signerPatches } from './signer.ts'
import { comment, indent, type ManifestFile, quoted } from './text.ts'

const TMPFILES = '/etc/tmpfiles.d/trousseau.conf'
const POD = '/etc/kubernetes/manifests/trousseau.yaml'
const CONFIG_KEY = 'trousseau.yaml'
/** Of kubeadm. */
const PATCHES = '/etc/kubernetes/patches'

/** The same in both versions of the API, which differ in how they list flags. */
export function clusterApi(plan: Plan): ManifestFile[] {
  const entries = Object.entries(flagsOf(plan)).map(
    ([name, value]) => [name, quoted(value)] as const,
  )
  const list = entries.map(([name, value]) => `- { name: ${name}, value: ${value} }\n`)
  const map = entries.map(([name, value]) => `${name}: ${value}\n`)
  return [
    { path: 'cluster-api.yaml', text: controlPlane(plan, 'v1beta2', list.join('')) },
    { path: 'cluster-api-v1beta1.yaml', text: controlPlane(plan, 'v1beta1', map.join('')) },
  ]
}

function controlPlane(plan: Plan, version: string, flags: string): string {
  const volumes = volumesOf(plan).map(
    ({ name, path, readOnly, type }) =>
      `- { name: ${name}, hostPath: ${path}, mountPath: ${path}, readOnly: ${readOnly}, pathType: ${type} }\n`,
  )
  return `${comment(`${ABOUT[version]}

${secretCommand(plan)}

It must be in the namespace of the KubeadmControlPlane, and be called by another name where clusters share that.
Every change of the KubeadmControlPlane replaces the machines one after the other. On a cluster that runs, so that
no API server meets what it cannot read: first roll out with identity before kms, then with kms before identity.
${signerSteps(plan)}`)}
apiVersion: controlplane.cluster.x-k8s.io/${version}
kind: KubeadmControlPlane
metadata: { name: control-plane }
spec:
  kubeadmConfigSpec:
    clusterConfiguration:
      apiServer:
        extraArgs:
${indent(flags, 10)}        extraVolumes:
${indent(volumes.join(''), 10)}${patchFolder(plan)}    files:
${indent(files(plan), 6)}    preKubeadmCommands:
${indent(commands(plan), 6)}`
}

const ABOUT: Readonly<Record<string, string>> = {
  v1beta2: `Part of a KubeadmControlPlane: put its lists behind those of yours. For Cluster API before 1.11, and wherever yours says
v1beta1: cluster-api-v1beta1.yaml. The image must be on the machines, or its registry reachable without the cluster.
What the config names comes from a Secret, so that it is not in the object. In the management cluster:`,
  v1beta1: `As cluster-api.yaml, for a KubeadmControlPlane of apiVersion controlplane.cluster.x-k8s.io/v1beta1.
What the config names comes from a Secret, so that it is not in the object. In the management cluster:`,
}

function secretCommand(plan: Plan): string {
  const create = ['kubectl', 'create', 'secret', 'generic', CREDENTIALS_SECRET]
  const config = `--from-file=${CONFIG_KEY}=trousseau.yaml`
  return indent(commandLine([...create, config, ...fromFiles(credentialsOf(plan))]), 2)
}

function files(plan: Plan): string {
  const secret = [{ key: CONFIG_KEY, path: plan.configPath }, ...credentialsOf(plan)].map(
    ({ key, path }) => `${head(path, '0600')}  contentFrom:
    secret: { name: ${CREDENTIALS_SECRET}, key: ${quoted(key)} }
`,
  )
  const written = [
    [FILE, '0600', encryptionText(plan)],
    [TMPFILES, '0644', textOf(tmpfiles(plan))],
    [POD, '0600', textOf(staticPod(plan))],
    ...signerPatches(plan).map(({ path, text }) => [`${PATCHES}/${path}`, '0600', text]),
  ].map(
    ([path = '', mode = '', text = '']) =>
      `${head(path, mode)}  content: |\n${indent(withoutComments(text), 4)}`,
  )
  return [...written, ...secret].join('')
}

function signerSteps({ config }: Plan): string {
  if (config.signer === undefined) return ''
  return `
Tokens of the signer: on a cluster that runs, first a rollout in which every API server has the signer's public key in
a further --service-account-key-file, and then this: docs/signer.md, "From sa.key, and back".
`
}

/** kubeadm writes flags that a signer excludes, and only patches take them away. */
function patchFolder(plan: Plan): string {
  if (plan.config.signer === undefined) return ''
  return ['initConfiguration', 'joinConfiguration']
    .map(
      (name) =>
        `    ${name}: { patches: { directory: ${PATCHES} } }   # where yours names a folder, put them there\n`,
    )
    .join('')
}

function head(path: string, mode: string): string {
  return `- path: ${quoted(path)}\n  owner: root:root\n  permissions: "${mode}"\n`
}

function textOf([file]: readonly ManifestFile[]): string {
  return file?.text ?? ''
}

/** They say where a file goes, which is done here. */
function withoutComments(text: string): string {
  return text.replaceAll(/^#.*\n/gm, '')
}

/** Once the files are there, and before the kubelet looks for pods. */
function commands(plan: Plan): string {
  const { user, configPath } = plan
  const own = `${dirname(configPath)}/`
  const elsewhere = credentialsOf(plan).filter(({ path }) => !path.startsWith(own))
  const handed = elsewhere.flatMap(({ path }) => [
    ['chgrp', String(user), path],
    ['chmod', '0640', path],
  ])
  return [
    ...labelCommands(plan),
    `systemd-tmpfiles --create ${TMPFILES}`,
    ...(user === 0 ? [] : handed.map(commandLine)),
  ]
    .map((command) => `- ${quoted(command)}\n`)
    .join('')
}
