/**
 * Checks the labels of a node with SELinux: whether the plugin may make its socket, and whether the
 * API server may connect to it, as far as the policies of container-selinux and RKE2 tell. It
 * reports nothing where the kernel has no SELinux.
 *
 * @module
 */

import { dirname } from 'node:path'
import * as v from 'valibot'
import { endpointsOf } from '../../config/endpoints.ts'
import { auditFolder } from '../../config/paths.ts'
import type { Config } from '../../config/schema.ts'
import type { StaticPod } from '../kube/static_pod.ts'
import { type Finding, found, ok, skipped } from './finding.ts'
import type { Label } from './selinux_label.ts'
import { enforces, KERNEL, labelOfFile, processesOf, type Roots } from './selinux_node.ts'

const CONTAINER_FILES = ['container_file_t', 'svirt_sandbox_file_t']
/**
 * Confined types, and the types of files that they may write. Other types belong to policies that
 * are not known here.
 */
const WRITES: Readonly<Record<string, readonly string[]>> = {
  container_t: CONTAINER_FILES,
  container_init_t: CONTAINER_FILES,
  container_kvm_t: CONTAINER_FILES,
  svirt_lxc_net_t: CONTAINER_FILES,
  rke2_service_t: CONTAINER_FILES,
  rke2_service_db_t: [...CONTAINER_FILES, 'container_var_lib_t'],
}
/** The type of containers for which nothing else is set. */
const BY_DEFAULT = 'container_t'
/** The type that confined containers may connect to, besides their own. */
const REACHABLE = 'spc_t'
const DENIALS = 'ausearch -m avc -ts recent'

const identity = v.looseObject({
  privileged: v.optional(v.boolean()),
  seLinuxOptions: v.optional(v.looseObject({ type: v.optional(v.string()) })),
})

interface SelinuxOptions {
  readonly roots?: Roots
  /** The folders in which programs are searched, in the form of PATH. */
  readonly searchPath: string
  /** The plugin's own static pod, which tells its type while it does not run. */
  readonly pluginPod?: StaticPod | undefined
}

interface Labels {
  readonly socketPath: string
  /** The type that the plugin runs with, or would run with. */
  readonly pluginType: string | undefined
  readonly plugin: Label | undefined
  readonly apiServer: Label | undefined
  readonly socket: Label | undefined
  readonly folders: readonly { readonly path: string; readonly label: Label | undefined }[]
}

export async function selinuxFindings(
  config: Config,
  { roots = KERNEL, searchPath, pluginPod }: SelinuxOptions,
): Promise<Finding[]> {
  const enforcing = await enforces(roots)
  if (enforcing === undefined) return []
  const labels = await labelsOf(config, { roots, searchPath, pluginPod })
  const findings = [...folderFindings(labels), ...apiServerFindings(labels)]
  if (findings.length === 0) return [summary(labels, enforcing)]
  return enforcing ? findings : findings.map(whilePermissive)
}

async function labelsOf(
  config: Config,
  { roots, searchPath, pluginPod }: Required<SelinuxOptions>,
): Promise<Labels> {
  const sockets = endpointsOf(config).map(({ socket }) => socket.path)
  const [socketPath = ''] = sockets
  const { stateDir, audit } = config
  const written = [
    ...sockets.map(dirname),
    ...(stateDir === undefined ? [] : [stateDir]),
    ...auditFolder(audit),
  ]
  const processes = await processesOf(socketPath, roots)
  const folders = [...new Set(written)].map(async (path) => {
    return { path, label: await labelOfFile(path, searchPath) }
  })
  return {
    ...processes,
    socketPath,
    pluginType: processes.plugin?.type ?? typeOf(pluginPod),
    socket: await labelOfFile(socketPath, searchPath),
    folders: await Promise.all(folders),
  }
}

/**
 * A setting of the container overrides the one of its pod, and a privileged container is not
 * confined.
 */
function typeOf(pod: StaticPod | undefined): string | undefined {
  if (pod === undefined) return undefined
  const { containers, securityContext } = pod.spec
  const said = [...containers.map((each) => each.securityContext), securityContext]
    .map((each) => v.safeParse(identity, each))
    .flatMap(({ success, output }) => (success ? [output] : []))
  const [type] = said.flatMap(({ seLinuxOptions }) => seLinuxOptions?.type ?? [])
  return type ?? (said.some(({ privileged }) => privileged === true) ? REACHABLE : BY_DEFAULT)
}

function folderFindings({ pluginType = '', folders }: Labels): Finding[] {
  const allowed = WRITES[pluginType]
  if (allowed === undefined) return []
  return folders.flatMap(({ path, label }) =>
    found(label !== undefined && !allowed.includes(label.type), {
      id: 'selinux-folder',
      level: 'warning',
      what: `${path} is labelled ${label?.text}, and ${pluginType} may not write there`,
      why: 'The plugin cannot make its socket, or keep its state.',
      todo: `semanage fcontext -a -t ${allowed[0]} '${path}(/.*)?' && restorecon -R ${path}; or run the pod as spc_t. ${DENIALS} shows what was denied: docs/selinux.md.`,
    }),
  )
}

function apiServerFindings({
  apiServer,
  plugin,
  pluginType,
  socket,
  socketPath,
}: Labels): Finding[] {
  const allowed = WRITES[apiServer?.type ?? '']
  if (apiServer === undefined || allowed === undefined) return []
  const reachable = pluginType === REACHABLE || pluginType === apiServer.type
  const hidden = [plugin, socket].some((label) => !includes(apiServer, label))
  return [
    ...found(socket !== undefined && !allowed.includes(socket.type), {
      id: 'selinux-socket',
      level: 'warning',
      what: `${socketPath} is labelled ${socket?.text}, and the API server (${apiServer.type}) may not write to it`,
      why: 'It cannot ask the plugin.',
      todo: `Label ${dirname(socketPath)} as ${allowed[0]}, and restart the plugin: docs/selinux.md.`,
    }),
    ...found(pluginType !== undefined && !reachable, {
      id: 'selinux-connect',
      level: 'warning',
      what: `The API server runs as ${apiServer.type}, which may not connect to a process of ${pluginType}`,
      why: 'It cannot ask the plugin.',
      todo: `Run the plugin as ${REACHABLE}: "trousseau manifests static-pod --selinux-type ${REACHABLE}". ${DENIALS} shows what was denied.`,
    }),
    ...found(hidden, {
      id: 'selinux-categories',
      level: 'warning',
      what: `The API server runs as ${apiServer.text}, which does not include the categories of the plugin (${plugin?.text ?? 'not seen'}) or of its socket (${socket?.text ?? 'not seen'})`,
      why: 'It cannot ask the plugin.',
      todo: 'Give the pod seLinuxOptions.level: s0, as the manifests do with --selinux-type.',
    }),
  ]
}

function includes({ categories }: Label, other: Label | undefined): boolean {
  return [...(other?.categories ?? [])].every((each) => categories.has(each))
}

function summary(labels: Labels, enforcing: boolean): Finding {
  const mode = enforcing ? 'SELinux enforces' : 'SELinux is permissive'
  const unseen = unseenIn(labels)
  if (unseen.length > 0) {
    const how =
      'run doctor as root on the node while both run; the binary starts no program that tells labels, so compare there with ls -dZ'
    return skipped('selinux', `${mode}; not seen, and not compared: ${unseen.join(', ')} (${how})`)
  }
  const { pluginType, socket, apiServer } = labels
  const types = `${pluginType} serves ${socket?.type}, and ${apiServer?.type} asks`
  return ok('selinux', `${mode}; nothing in the labels is known to be denied: ${types}`)
}

function unseenIn({ pluginType, apiServer, socket, folders }: Labels): string[] {
  const unlabelled = folders.filter(({ label }) => label === undefined)
  return [
    ...(pluginType === undefined ? ['the type of the plugin'] : []),
    ...(apiServer === undefined ? ['the type of the API server'] : []),
    ...(socket === undefined ? ['the label of the socket'] : []),
    ...unlabelled.map(({ path }) => `the label of ${path}`),
  ]
}

function whilePermissive(finding: Finding): Finding {
  return { ...finding, level: 'notice', why: `Once SELinux enforces: ${finding.why}` }
}
