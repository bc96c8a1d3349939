/**
 * The parts that a static pod, a DaemonSet and the pod with a Vault agent have in common.
 *
 * @module
 */

import { dirname } from 'node:path/posix'
import { pathsOf } from '../../config/paths.ts'
import { handedOver } from './handed_over.ts'
import type { Plan } from './plan.ts'
import { labelCommands, relabelLines, selinuxOptions } from './selinux.ts'
import { comment, indent, type ManifestFile, quoted } from './text.ts'

/**
 * docs/footprint.md has the measurements: idle, and under the load of an API server that restarts.
 */
const RESOURCES = {
  cpuRequest: '20m',
  memoryRequest: '128Mi',
  memoryLimit: '512Mi',
} as const
/** Of the plugin's container, wherever it runs. */
export const CONTAINER_RESOURCES = `resources:                           # measured: docs/footprint.md
  requests: { cpu: ${RESOURCES.cpuRequest}, memory: ${RESOURCES.memoryRequest} }
  limits: { memory: ${RESOURCES.memoryLimit} }
`
/** Of its securityContext. */
export const RESTRICTIONS = `allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
`
/** What `system-node-critical` stands for. */
const NODE_CRITICAL = 2_000_001_000
/** Requests under way may take 5 s. */
const GRACE_SECONDS = 10

interface PodParts {
  /** Further containers, as list items. */
  readonly containers?: string
  readonly initContainers?: string
  /** Further volumes, as list items. */
  readonly volumes?: string
  /** Further mounts of the plugin, as list items. */
  readonly mounts?: string
  readonly serviceAccountName?: string
}

/** The `spec` of the pod, not indented. */
export function podSpec(plan: Plan, parts: PodParts = {}): string {
  const account =
    parts.serviceAccountName === undefined
      ? 'automountServiceAccountToken: false   # nothing is asked of the cluster that is protected'
      : `serviceAccountName: ${parts.serviceAccountName}\nautomountServiceAccountToken: false`
  const init = parts.initContainers === undefined ? '' : `initContainers:\n${parts.initContainers}`
  return `${account}
hostNetwork: true                      # works before there is a pod network
dnsPolicy: Default                     # the node's resolver: the cluster's DNS needs the API server
priorityClassName: system-node-critical
terminationGracePeriodSeconds: ${GRACE_SECONDS}
securityContext:
  runAsNonRoot: ${plan.user !== 0}
  runAsUser: ${plan.user}
  runAsGroup: ${plan.user}
  seccompProfile: { type: RuntimeDefault }
${selinuxOptions(plan)}${init}containers:
${indent(container(plan, parts.mounts ?? ''), 2)}${parts.containers ?? ''}volumes:
${indent(volumes(plan), 2)}${parts.volumes ?? ''}`
}

function container(plan: Plan, mounts: string): string {
  return `- name: trousseau
  image: ${quoted(plan.image)}
  imagePullPolicy: IfNotPresent        # a node that boots without a registry has it already
  args: [serve, --config, ${quoted(plan.configPath)}]
${indent(CONTAINER_RESOURCES, 2)}  securityContext:
${indent(RESTRICTIONS, 4)}${indent(probes(plan), 2)}  volumeMounts:
${indent(volumeMounts(plan), 4)}${mounts}`
}

/** Asks whether the socket answers, as each probe does that has no port to ask. */
export function socketProbe(socketPath: string): string {
  return `exec: { command: [/usr/bin/trousseau, status, --socket, ${quoted(socketPath)}, --live] }`
}

/**
 * Probes ask `/livez` alone: a key service that is away is no reason to restart the plugin, and
 * `/readyz` is for people and alerts.
 */
function probes({ admin, socketPath }: Plan): string {
  if (admin === undefined) {
    return `livenessProbe:                       # only whether the socket answers: an outage of a key service is no reason to restart
  ${socketProbe(socketPath)}
  initialDelaySeconds: 5
  periodSeconds: 30                    # each starts a process; with admin.listen on a port none would
  timeoutSeconds: 10
  failureThreshold: 3
`
  }
  return `livenessProbe:                       # never /readyz: an outage of a key service is no reason to restart
  httpGet: { host: ${quoted(admin.host)}, port: ${admin.port}, path: /livez }
  initialDelaySeconds: 5
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
`
}

function volumeMounts({ written, read }: Plan): string {
  return [
    ...written.map((path, at) => `- { name: written-${at}, mountPath: ${quoted(path)} }\n`),
    ...read.map(
      (path, at) => `- { name: read-${at}, mountPath: ${quoted(path)}, readOnly: true }\n`,
    ),
  ].join('')
}

function volumes({ written, read }: Plan): string {
  const volume = (name: string, path: string) =>
    `- { name: ${name}, hostPath: { path: ${quoted(path)}, type: Directory } }\n`
  return [
    ...written.map((path, at) => volume(`written-${at}`, path)),
    ...read.map((path, at) => volume(`read-${at}`, path)),
  ].join('')
}

/** The whole file of a static pod. */
export function pod(about: string, plan: Plan, parts?: PodParts): string {
  return `${comment(`${about}\n\n${nodePreparation(plan)}`)}
apiVersion: v1
kind: Pod
metadata:
  name: trousseau
  namespace: ${plan.namespace}
  labels: { app.kubernetes.io/name: trousseau, tier: control-plane }
spec:
  priority: ${NODE_CRITICAL}                 # no API server makes the number of the class: since 1.37 the kubelet goes by it
${indent(podSpec(plan, parts), 2)}`
}

/** What must be on a node before the pod may start, as comments. */
export function nodePreparation(plan: Plan): string {
  return `Once on every control-plane node, as root ("trousseau manifests tmpfiles" prints the file):

${indent(tmpfilesLines(plan), 2)}
in /etc/tmpfiles.d/trousseau.conf, then:
${labelling(plan)}
  systemd-tmpfiles --create /etc/tmpfiles.d/trousseau.conf

${readable(plan)}
${withoutDevices(plan)}
kube-apiserver runs as root on kubeadm, k3s and RKE2, and so may use the socket. Where it has a user of its
own, make this with --user and the number of that user: the plugin has no right to give its socket to another.`
}

function readable({ configPath, user }: Plan): string {
  if (user === 0) return 'Config and credentials: mode 0600, root.'
  return `The lines hand what lies in ${dirname(configPath)} to group ${user}, and a key file of the provider "local" to user
${user}, who alone may read it. What the config names elsewhere: mode 0640, group ${user}.`
}

/** A runtime lets no container use a device that it was not given, and a static pod cannot ask for one. */
function withoutDevices({ config }: Plan): string {
  const { devices } = pathsOf(config)
  if (devices.length === 0) return ''
  return `
This pod may not use ${devices.join(', ')}, where the login key is: run the plugin as a unit
("trousseau manifests systemd") instead.
`
}

/** The folders that the pod mounts, all of which must exist when it starts, and what the user of the pod may read. */
export function tmpfiles(plan: Plan): ManifestFile[] {
  const head = `/etc/tmpfiles.d/trousseau.conf: the folders that the pod mounts, made at every boot before the kubelet, since /run
is empty then. Now, as root:
${labelling(plan)}
  systemd-tmpfiles --create /etc/tmpfiles.d/trousseau.conf`
  return [{ path: 'trousseau.tmpfiles.conf', text: `${comment(head)}\n${tmpfilesLines(plan)}` }]
}

function tmpfilesLines(plan: Plan): string {
  const { written, configPath, user } = plan
  return [
    `d ${dirname(configPath)} 0750 root ${user}\n`,
    ...written.map((path) => `d ${path} 0700 ${user} ${user}\n`),
    ...(user === 0 ? [] : handedOver(plan, user)),
    relabelLines(plan),
  ].join('')
}

/** These lines come first, because what is made afterwards gets its label from the policy. */
function labelling(plan: Plan): string {
  return labelCommands(plan)
    .map((command) => `\n  ${command}`)
    .join('')
}
