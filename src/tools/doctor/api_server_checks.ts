/** Checks the API server: its static pod, its version, and the key id that it uses. @module */

import { stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import * as v from 'valibot'
import { keyIdHash } from '../../base/key_id_hash.ts'
import type { Config } from '../../config/schema.ts'
import { printable } from '../../console/output.ts'
import type { KubeClient } from '../kube/client.ts'
import { latestKeyIdHashes } from '../kube/key_ids.ts'
import { type Container, flagOf, isOn, onNode, plain, type StaticPod } from '../kube/static_pod.ts'
import { succeeded } from '../kube/status.ts'
import { apiServerOf, realFile } from './api_server_facts.ts'
import { type Finding, found, ok, skipped } from './finding.ts'

const FLAG = 'encryption-provider-config'
/** Without the key service, an API server fails its own /livez for about this long. */
const PATIENCE_SECONDS = 75
const OLDEST_MINOR = 29
const SKEW_MS = 5_000

interface SocketRights {
  readonly path: string
  readonly mode: number
  readonly owner: number | undefined
  readonly group: number | undefined
}

interface Checked {
  /** The EncryptionConfiguration that was checked. */
  readonly encryptionFile: string | undefined
  /** The path of each of the plugin's sockets as the API server connects to it. */
  readonly dialed: readonly string[]
}

/** Of the socket as it is there, or else as the config wants it. */
export async function rightsOf(socket: NonNullable<Config['socket']>): Promise<SocketRights> {
  const { path, mode, owner, group } = socket
  const seen = await stat(path).catch(() => undefined)
  return { path, mode, owner: seen?.uid ?? owner, group: seen?.gid ?? group }
}

export async function manifestFindings(
  pod: StaticPod,
  socket: SocketRights,
  { encryptionFile, dialed }: Checked,
): Promise<Finding[]> {
  const container = apiServerOf(pod)
  if (container === undefined) {
    return [skipped('manifest', 'The manifest has no container kube-apiserver')]
  }
  const findings = [
    ...(await configMounted(pod, container, encryptionFile)),
    ...(
      await Promise.all(dialed.map((path) => socketMounted(pod, container, path, socket.path)))
    ).flat(),
    ...userFindings(pod, container, socket),
    ...probeFindings(container),
  ]
  return findings.length > 0
    ? findings
    : [
        ok(
          'manifest',
          "The API server's manifest mounts the socket's folder and the EncryptionConfiguration",
        ),
      ]
}

async function configMounted(
  pod: StaticPod,
  container: Container,
  file: string | undefined,
): Promise<Finding[]> {
  const flag = flagOf(container, FLAG)
  if (flag === undefined) {
    return [
      {
        id: 'manifest-no-flag',
        level: 'error',
        what: `The API server has no --${FLAG}`,
        why: 'Nothing is encrypted.',
        todo: '"trousseau manifests kubeadm" prints what belongs there.',
      },
    ]
  }
  const path = onNode(pod, container, plain(flag))
  if (path === undefined) {
    return [
      {
        id: 'manifest-config-not-mounted',
        level: 'error',
        what: `${printable(flag)} is not mounted into the API server`,
        why: 'The API server does not start.',
        todo: 'Mount the file, or its folder, as a hostPath.',
      },
    ]
  }
  const isOther = file !== undefined && (await realFile(path)) !== (await realFile(resolve(file)))
  const alone = container.volumeMounts.some(({ mountPath }) => plain(mountPath) === plain(flag))
  return [
    ...found(isOther, {
      id: 'manifest-other-config',
      level: 'warning',
      what: `The API server reads ${printable(path)}, and ${file ?? ''} was checked`,
      why: 'What was found above may not hold.',
      todo: `Run doctor with --encryption-config ${printable(path)}.`,
    }),
    ...found(alone && isOn(container, `${FLAG}-automatic-reload`), {
      id: 'manifest-config-file',
      level: 'warning',
      what: `The API server mounts the file ${printable(path)} alone, and is to read it again when it changes`,
      why: 'Most editors and tools replace a file. The container then keeps the old one, and what you changed is not read until the API server is restarted.',
      todo: 'Give the file a folder of its own, and mount that.',
    }),
  ]
}

/** @param path what the API server connects to, for the plugin's `socket` */
export async function socketMounted(
  pod: StaticPod,
  container: Container,
  path: string,
  socket: string,
): Promise<Finding[]> {
  const file = container.volumeMounts.some(({ mountPath }) => plain(mountPath) === path)
  const leads = async (tried: string) => {
    const there = onNode(pod, container, tried)
    return there !== undefined && (await realFile(there)) === (await realFile(socket))
  }
  const mounted = await leads(path)
  const linked = !mounted && (await leads(await realFile(path)))
  return [
    ...found(!mounted && !linked, {
      id: 'manifest-socket-not-mounted',
      level: 'error',
      what: `The API server does not see ${printable(path)}`,
      why: 'It cannot ask the plugin.',
      todo: `Mount ${printable(dirname(path))} as a hostPath at the same path.`,
    }),
    ...found(linked, {
      id: 'manifest-socket-link',
      level: 'warning',
      what: `${printable(path)} is not mounted into the API server, only what it is a link to on this node`,
      why: "It works while the API server's image has the same link.",
      todo: `Name ${printable(socket)} in the endpoint, which is mounted.`,
    }),
    ...found(file, {
      id: 'manifest-socket-file',
      level: 'error',
      what: `The API server mounts the socket file ${printable(path)} itself`,
      why: 'When the plugin restarts it makes a new one, and the API server keeps looking at the old.',
      todo: `Mount the folder ${printable(dirname(path))} instead.`,
    }),
  ]
}

/** Whether the user of the API server may connect. */
export function userFindings(
  pod: StaticPod,
  container: Container,
  socket: SocketRights,
): Finding[] {
  const user = container.securityContext.runAsUser ?? pod.spec.securityContext.runAsUser ?? 0
  const group = container.securityContext.runAsGroup ?? pod.spec.securityContext.runAsGroup ?? 0
  const may =
    user === 0 ||
    (user === socket.owner && (socket.mode & 0o200) !== 0) ||
    (group === socket.group && (socket.mode & 0o020) !== 0) ||
    (socket.mode & 0o002) !== 0
  return found(!may, {
    id: 'manifest-user',
    level: 'error',
    what: `The API server runs as user ${user}, who may not write to ${socket.path}`,
    why: 'It cannot ask the plugin.',
    todo: `Run the plugin as user ${user} ("trousseau manifests … --user ${user}"), or set socket.group to ${group} and socket.mode to "0660" in its config, where the plugin is in that group.`,
  })
}

function probeFindings({ livenessProbe, startupProbe }: Container): Finding[] {
  if (livenessProbe === undefined) return []
  const patience =
    livenessProbe.initialDelaySeconds +
    livenessProbe.periodSeconds * livenessProbe.failureThreshold +
    (startupProbe === undefined ? 0 : startupProbe.periodSeconds * startupProbe.failureThreshold)
  const path = livenessProbe.httpGet?.path ?? ''
  return [
    ...found(patience < PATIENCE_SECONDS, {
      id: 'manifest-liveness',
      level: 'warning',
      what: `The kubelet gives the API server ${patience} s to become live`,
      why: 'Without the key service it answers /livez after about a minute: it would be restarted again and again.',
      todo: 'Give the startupProbe failureThreshold: 24, as kubeadm does.',
    }),
    ...found(path.startsWith('/healthz') || path.startsWith('/readyz'), {
      id: 'manifest-liveness-path',
      level: 'warning',
      what: `The API server's liveness probe asks ${printable(path)}`,
      why: 'That fails in an outage of the key service, and restarts an API server that works.',
      todo: 'Ask /livez.',
    }),
  ]
}

const version = v.object({ gitVersion: v.string(), minor: v.string() })

/** @throws KmsError where the API server does not answer */
export async function clusterFindings(
  kube: KubeClient,
  keyId: string | undefined,
  statusVersion: string,
): Promise<Finding[]> {
  const { gitVersion, minor } = await succeeded(kube, { method: 'GET', path: '/version' }, version)
  const known = Number.parseInt(minor, 10)
  const { serverTime } = await kube.send({ method: 'GET', path: '/version' })
  const skew = serverTime === undefined ? 0 : serverTime - Date.now()
  return [
    ok('api-server', `${kube.server} is Kubernetes ${printable(gitVersion)}`),
    ...found(known < OLDEST_MINOR, {
      id: 'kubernetes-too-old',
      level: 'error',
      what: `Kubernetes ${printable(gitVersion)} is older than 1.${OLDEST_MINOR}`,
      why: 'Its requests are refused before the plugin sees them (rule T4).',
      todo: 'Upgrade the cluster first.',
    }),
    ...found(known >= OLDEST_MINOR && statusVersion === 'v2beta1', {
      id: 'kubernetes-status-version',
      level: 'notice',
      what: 'statusVersion is v2beta1',
      why: 'It is meant for taking over a socket whose plugin said so; API servers keep the version that they saw first.',
      todo: 'Take it out, and restart plugin and API server together.',
    }),
    ...found(Math.abs(skew) > SKEW_MS, {
      id: 'api-server-clock',
      level: 'warning',
      what: `This clock and that of ${kube.server} are ${Math.round(Math.abs(skew) / 1_000)} s apart`,
      why: 'Tokens are refused, and rotations seem to come at different times.',
      todo: 'See that the time service of the node works (chronyc tracking, timedatectl).',
    }),
    ...(keyId === undefined ? [] : await keyIdFindings(kube, keyIdHash(keyId))),
  ]
}

async function keyIdFindings(kube: KubeClient, hash: string): Promise<Finding[]> {
  const latest = await latestKeyIdHashes(kube, AbortSignal.timeout(10_000))
  if (latest === undefined || latest.size === 0) {
    return [
      skipped('api-server-key-id', `${kube.server} does not tell which key id it uses (/metrics)`),
    ]
  }
  const same = [...latest.values()].includes(hash)
  if (same) return [ok('api-server-key-id', `${kube.server} uses the key id of this plugin`)]
  return [
    {
      id: 'api-server-key-id',
      level: 'warning',
      what: 'The API server uses another key id than this plugin answers',
      why: 'It asks another plugin, or has not noticed a new key yet: that takes up to a minute.',
      todo: 'Look again in a minute. Then compare the endpoint, and "trousseau status" on all nodes.',
    },
  ]
}
