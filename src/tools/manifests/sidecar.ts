/**
 * For hosted control planes, whose API servers are pods of a Deployment or StatefulSet: a patch that puts
 * the plugin beside each of them, in the same pod.
 *
 * @module
 */

import { basename, dirname } from 'node:path/posix'
import { commandLine } from '../../base/shell.ts'
import { endpointsOf } from '../../config/endpoints.ts'
import { ConfigError } from '../../config/load.ts'
import { encryptionConfig, FILE, FOLDER, flagsOf } from './api_server.ts'
import { CREDENTIALS_SECRET, type Credential, credentialsOf, fromFiles } from './credentials.ts'
import type { Plan } from './plan.ts'
import { CONTAINER_RESOURCES, RESTRICTIONS, socketProbe } from './pod.ts'
import { sidecarProblems } from './sidecar_rules.ts'
import { hostedSigner, signerFlags } from './signer.ts'
import { comment, indent, type ManifestFile, quoted } from './text.ts'

const CONFIG = 'trousseau-config'
const CONFIG_KEY = 'trousseau.yaml'
const ENCRYPTION = 'trousseau-encryption'
/** Of the API server's own container. */
const SERVER = 'kube-apiserver'

/** @throws ConfigError for a config that needs something of a node */
export function sidecar(plan: Plan): ManifestFile[] {
  const problems = sidecarProblems(plan)
  if (problems.length > 0) {
    throw new ConfigError(problems.map((problem) => `Beside a hosted API server: ${problem}`))
  }
  const credentials = credentialsOf(plan)
  return [
    { path: 'kustomization.yaml', text: kustomization(plan, credentials) },
    { path: 'sidecar.yaml', text: patch(plan, credentials) },
    { path: 'flags.yaml', text: flags(plan) },
    { path: CONFIG_KEY, text: `${plan.configText.trimEnd()}\n` },
    ...encryptionConfig(plan),
  ]
}

function kustomization({ namespace }: Plan, credentials: readonly Credential[]): string {
  const create = ['kubectl', 'create', 'secret', 'generic', CREDENTIALS_SECRET]
  const words = [...create, '--namespace', namespace, ...fromFiles(credentials)]
  const secret = `What the config names comes from a Secret, which nothing here contains. Where the files are:

${indent(commandLine(words), 2)}

The cluster that hosts the API servers stores it: whoever reads etcd there can log in as the plugin.

`
  return `${comment(`For API servers that are pods of a hosted control plane. Beside this file lies ${SERVER}.yaml, with the Deployment or
StatefulSet as it is now; change kind and name of both targets to what they are there. Then: kubectl apply -k .

${credentials.length === 0 ? '' : secret}Where an operator makes the Deployment it takes this patch away again, unless it is told the same in its own resource.
Kamaji's TenantControlPlane has, in spec.controlPlane.deployment: additionalInitContainers, additionalVolumes,
additionalVolumeMounts.apiServer and extraArgs.apiServer. Gardener has a mutating webhook for it.`)}
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: ${namespace}
resources: [${SERVER}.yaml]
configMapGenerator:
  - { name: ${CONFIG}, files: [${CONFIG_KEY}] }
secretGenerator:
  - { name: ${ENCRYPTION}, files: [${basename(FILE)}=encryption.yaml] }
generatorOptions:
  disableNameSuffixHash: true          # plugin and API server see a change by themselves: no pod is replaced
patches:
  - path: sidecar.yaml
    target: { kind: Deployment, name: ${SERVER} }
  - path: flags.yaml
    target: { kind: Deployment, name: ${SERVER} }
`
}

/** A list of flags would replace the one that is there, so they are added one by one. */
function flags(plan: Plan): string {
  const added = Object.entries(flagsOf(plan)).map(
    ([name, value]) =>
      `- op: add\n  path: /spec/template/spec/containers/0/args/-\n  value: --${name}=${value}\n`,
  )
  return `${comment(`The API server's flags: 0 is the place of its container in the list. Where they stand in "command": command/-.
Where it has an encryption-provider-config already leave these out, and put the kms provider into that file: first
behind what encrypts now, on all API servers, and then before it. Keep the old keys until all is rewritten.
${hostedSigner(plan)}`)}
${added.join('')}`
}

function patch(plan: Plan, credentials: readonly Credential[]): string {
  return `${comment(`The plugin starts before the API server and ends after it (Kubernetes 1.29 or later). It serves this API server alone.
It runs as user ${plan.user}: let that be the user of the API server's container (--user), or set socket.mode "0660" and
socket.group in the config to that container's group, unless it is root. What the plugin writes ends with the pod.`)}
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${SERVER} }
spec:
  template:
    spec:
      initContainers:
${indent(container(plan), 8)}      containers:
        - name: ${SERVER}
          volumeMounts:
            - { name: trousseau-encryption, mountPath: ${FOLDER}, readOnly: true }
${indent(socketMounts(plan), 12)}      volumes:
        - { name: trousseau-encryption, secret: { secretName: ${ENCRYPTION} } }
${indent(volumes(plan, credentials), 8)}`
}

/** The folders of the sockets, which the plugin makes. */
function socketMounts(plan: Plan): string {
  const folders = [plan.socketPath, ...Object.values(signerFlags(plan))].map((path) =>
    dirname(path),
  )
  return [...new Set(folders)]
    .map(
      (folder) =>
        `- { name: trousseau-written-${plan.written.indexOf(folder)}, mountPath: ${quoted(folder)} }\n`,
    )
    .join('')
}

function container(plan: Plan): string {
  const { user, image, configPath, socketPath, written, serviceAccount } = plan
  const probe = socketProbe(socketPath)
  const mounts = [
    ...written.map(
      (path, at) => `- { name: trousseau-written-${at}, mountPath: ${quoted(path)} }\n`,
    ),
    ...plan.read.map(
      (path, at) =>
        `- { name: trousseau-read-${at}, mountPath: ${quoted(path)}, readOnly: true }\n`,
    ),
    ...(serviceAccount
      ? [
          '- { name: trousseau-token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true }\n',
        ]
      : []),
  ]
  return `- name: trousseau
  restartPolicy: Always                # a sidecar: the API server waits for its start, and not for its end
  image: ${quoted(image)}
  imagePullPolicy: IfNotPresent
  args: [serve, --config, ${quoted(configPath)}]
${indent(CONTAINER_RESOURCES, 2)}  securityContext:
    runAsNonRoot: ${user !== 0}
    runAsUser: ${user}
    runAsGroup: ${socketGroup(plan)}
    seccompProfile: { type: RuntimeDefault }
${indent(RESTRICTIONS, 4)}  startupProbe:                        # the socket answers while the key service is away, too
    ${probe}
    periodSeconds: 2
    timeoutSeconds: 10
    failureThreshold: 30
  livenessProbe:                       # no admin port: the kubelet would ask for it on the node
    ${probe}
    periodSeconds: 30
    timeoutSeconds: 10
    failureThreshold: 3
  volumeMounts:
${indent(mounts.join(''), 4)}`
}

/** Whoever has no rights can give a socket to a group of its own alone. */
function socketGroup({ config, user }: Plan): number {
  return endpointsOf(config)[0]?.socket.group ?? user
}

function volumes(plan: Plan, credentials: readonly Credential[]): string {
  const { written, serviceAccount, user, configPath } = plan
  const read = plan.read.map((folder, at) => {
    const config = configPath.startsWith(`${folder}/`)
      ? source('configMap', CONFIG, [{ key: CONFIG_KEY, path: configPath }], folder)
      : ''
    const inside = credentials.filter(({ path }) => path.startsWith(`${folder}/`))
    const secret = inside.length === 0 ? '' : source('secret', CREDENTIALS_SECRET, inside, folder)
    return `- name: trousseau-read-${at}
  projected:
    defaultMode: ${user === 0 ? `${0o400}                   # 0400` : `${0o444}                   # 0444`}, mounted into the plugin's container alone
    sources:
${indent(`${config}${secret}`, 6)}`
  })
  return [
    ...written.map(
      (_, at) =>
        `- { name: trousseau-written-${at}, emptyDir: {${at === 0 ? ' medium: Memory ' : ''}} }\n`,
    ),
    ...read,
    ...(serviceAccount ? [TOKEN] : []),
  ].join('')
}

/** Of the cluster that hosts the API server, which works while the hosted one is down. */
const TOKEN = `- name: trousseau-token
  projected:
    sources: [{ serviceAccountToken: { path: token, audience: vault, expirationSeconds: 3600 } }]
`

function source(
  kind: 'configMap' | 'secret',
  name: string,
  items: readonly Credential[],
  folder: string,
): string {
  const lines = items.map(
    ({ key, path }) =>
      `- { key: ${quoted(key)}, path: ${quoted(path.slice(folder.length + 1))} }\n`,
  )
  return `- ${kind}:\n    name: ${name}\n    items:\n${indent(lines.join(''), 6)}`
}
