/**
 * SELinux: the type that the pod runs with, and the types that its folders need. docs/selinux.md
 * names the policy and the page that each of them comes from.
 *
 * @module
 */

import { dirname } from 'node:path/posix'
import { word } from '../../base/shell.ts'
import { endpointsOf } from '../../config/endpoints.ts'
import { ConfigError } from '../../config/load.ts'
import type { Plan } from './plan.ts'

/** The type of files that confined containers may write, including sockets. */
const WRITABLE = 'container_file_t'
/** The type of files that they may read. */
const READABLE = 'container_ro_file_t'
/** The type that SELinux does not confine; its folders may have any type. */
const UNCONFINED = 'spc_t'
/** Folders that other programs use too; another label there would break the node. */
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
  'cluster-api',
]

interface FolderLabel {
  readonly folder: string
  readonly type: string
}

/** @throws ConfigError where the option has no effect on the kind */
export function checkSelinuxKind(kind: string, { selinuxType: type }: Pick<Plan, 'selinuxType'>) {
  if (type === undefined || OF_PODS.includes(kind)) return
  throw new ConfigError([
    `--selinux-type is for pods, and "manifests ${kind}" makes none: wanted one of ${OF_PODS.join(', ')}`,
  ])
}

/**
 * Options for the pod's securityContext. Without a level the runtime would choose categories, and
 * an API server with other categories could not connect; every level includes s0.
 */
export function selinuxOptions({ selinuxType: type }: Plan): string {
  if (type === undefined) return ''
  return `  seLinuxOptions: { type: ${JSON.stringify(type)}, level: s0 }   # docs/selinux.md\n`
}

/**
 * The folders that need a label: always those of the sockets, since an API server may be confined.
 * Files that the config names elsewhere keep their labels, which others rely on.
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

/** Commands that add the labels to the node's policy, to be run once on every node. */
export function labelCommands(plan: Plan): string[] {
  return folderLabels(plan).map(
    ({ folder, type }) => `semanage fcontext -a -t ${type} ${word(pattern(folder))}`,
  )
}

/** Lines for tmpfiles.d that correct the label of what exists, and change nothing else. */
export function relabelLines(plan: Plan): string {
  return folderLabels(plan)
    .map(({ folder }) => `Z ${folder} - - - -\n`)
    .join('')
}

function pattern(folder: string): string {
  return `${folder.replaceAll(/[.^$*+?()[\]{}|\\]/g, '\\$&')}(/.*)?`
}
