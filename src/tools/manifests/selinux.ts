/**
 * SELinux: the type that the pod runs with, and the types that its folders need.
 * docs/selinux.md says which policy and which page each of them comes from.
 *
 * @module
 */

import { dirname } from 'node:path/posix'
import { word } from '../../base/shell.ts'
import { endpointsOf } from '../../config/endpoints.ts'
import { ConfigError } from '../../config/load.ts'
import type { Plan } from './plan.ts'

/** What confined containers may write, sockets among it. */
const WRITABLE = 'container_file_t'
/** What they may read. */
const READABLE = 'container_ro_file_t'
/** The type that is confined by nothing: its folders may have any. */
const UNCONFINED = 'spc_t'
/** Folders that others use too: another label would take the node down. */
const SHARED =
  /^\/[^/]*$|^\/var\/[^/]*$|^\/(?:etc\/(?:kubernetes|pki|ssl)|usr|var\/lib\/kubelet)(?:\/|$)/
/** Kinds that make pods, or prepare a node for one. */
const OF_PODS: readonly string[] = [
  'static-pod',
  'tmpfiles',
  'daemonset',
  'kustomize',
  'helm-values',
  'vault-agent',
  'talos',
]

interface FolderLabel {
  readonly folder: string
  readonly type: string
}

/** @throws ConfigError where the kind makes nothing of the option */
export function checkSelinuxKind(kind: string, { selinuxType: type }: Pick<Plan, 'selinuxType'>) {
  if (type === undefined || OF_PODS.includes(kind)) return
  throw new ConfigError([
    `--selinux-type is for pods, and "manifests ${kind}" makes none: wanted one of ${OF_PODS.join(', ')}`,
  ])
}

/**
 * For the pod's securityContext. Without a level the runtime chooses categories, and an
 * API server with others could not connect; every level includes s0.
 */
export function selinuxOptions({ selinuxType: type }: Plan): string {
  if (type === undefined) return ''
  return `  seLinuxOptions: { type: ${JSON.stringify(type)}, level: s0 }   # docs/selinux.md\n`
}

/**
 * What must be labelled for the type: the sockets' folders always, since an API server
 * may be confined. Files that the config names elsewhere keep their labels, which others rely on.
 *
 * @throws ConfigError where a folder is not the plugin's own
 */
function folderLabels(plan: Plan): FolderLabel[] {
  const { selinuxType: type, config, written, configPath } = plan
  if (type === undefined) return []
  const sockets = endpointsOf(config).map(({ socket }) => dirname(socket.path))
  const confined = type !== UNCONFINED
  const writable = confined ? written : written.filter((path) => sockets.includes(path))
  const readable = confined ? [dirname(configPath)] : []
  const labels = [
    ...writable.map((folder) => ({ folder, type: WRITABLE })),
    ...readable
      .filter((folder) => !writable.includes(folder))
      .map((folder) => ({ folder, type: READABLE })),
  ]
  const shared = labels.filter(({ folder }) => SHARED.test(folder))
  if (shared.length === 0) return labels
  throw new ConfigError(
    shared.map(
      ({ folder }) =>
        `${folder} is a folder of the system, and must keep its SELinux label: wanted one of the plugin's own`,
    ),
  )
}

/** Tells the node's policy of the labels; once on every node. */
export function labelCommands(plan: Plan): string[] {
  return folderLabels(plan).map(
    ({ folder, type }) => `semanage fcontext -a -t ${type} ${word(pattern(folder))}`,
  )
}

/** For tmpfiles.d: puts the label right of what is there already, and changes nothing else. */
export function relabelLines(plan: Plan): string {
  return folderLabels(plan)
    .map(({ folder }) => `Z ${folder} - - - -\n`)
    .join('')
}

function pattern(folder: string): string {
  return `${folder.replaceAll(/[.^$*+?()[\]{}|\\]/g, '\\$&')}(/.*)?`
}
