/**
 * A Vault agent beside the plugin: the agent's config, the pod of both, and the plugin's own
 * config, changed so that the plugin asks the agent.
 *
 * @module
 */

import { basename, dirname } from 'node:path/posix'
import { unixPathOf } from '../../base/socket_path.ts'
import { editProviders } from '../../config/edit.ts'
import { addressesOf, type VaultConfig } from '../../services/vault/config.ts'
import { outermost, type Plan, planOf } from './plan.ts'
import { pod } from './pod.ts'
import { comment, indent, type ManifestFile, quoted } from './text.ts'

const SOCKET = '/run/vault-agent/agent.sock'

export function vaultAgent(plan: Plan): ManifestFile[] {
  const vaults = plan.config.providers.filter((each) => each.type === 'vault')
  const direct = vaults.find(({ auth }) => auth.method !== 'agent')
  const provider = direct ?? vaults[0]
  if (provider === undefined) return []
  const [asked = ''] = addressesOf(provider)
  const socket = unixPathOf(asked) ?? SOCKET
  const own = dirname(plan.configPath)
  const login = loginOf(provider, own)
  // One agent can ask only one Vault.
  const behind = vaults.filter((each) => addressesOf(each)[0] === asked)
  const edited = editProviders(
    plan.configText,
    new Map(behind.map(({ name }) => [name, throughAgent(socket)])),
  )
  const agentFile = `${own}/agent.hcl`
  const agent = { file: agentFile, socket, reads: readBy(provider, login, agentFile) }
  return [
    { path: 'agent.hcl', text: agentConfig(provider, login, agent) },
    { path: basename(plan.configPath), text: edited.text },
    { path: 'trousseau-pod.yaml', text: agentPod(planOf(edited.config, plan, edited.text), agent) },
  ]
}

interface Agent {
  /** The config of the agent. */
  readonly file: string
  readonly socket: string
  /** Folders. */
  readonly reads: readonly string[]
}

function throughAgent(socket: string) {
  return {
    address: `unix://${socket}`,
    addresses: undefined,
    allowInsecureHttp: undefined,
    tls: undefined,
    proxy: undefined,
    auth: { method: 'agent' },
  }
}

interface Login {
  readonly mount: string
  readonly namespace: string | undefined
  readonly files: Readonly<Record<string, string>>
  /** Where the secret id is unwrapped. */
  readonly wrapping: string | undefined
}

/**
 * The agent always logs in by AppRole: an agent knows only some of the other logins, and none with
 * the same files.
 */
function loginOf({ auth, namespace }: VaultConfig, folder: string): Login {
  const files = {
    role_id_file_path: `${folder}/role-id`,
    secret_id_file_path: `${folder}/secret-id`,
  }
  if (auth.method !== 'approle') return { mount: 'approle', namespace, files, wrapping: undefined }
  const { mount, roleIdFile = files.role_id_file_path, secretIdFile, wrappedRole } = auth
  const secretId = secretIdFile === undefined ? {} : { secret_id_file_path: secretIdFile }
  return {
    mount,
    namespace: auth.namespace ?? namespace,
    files: { role_id_file_path: roleIdFile, ...secretId },
    wrapping: wrappedRole && `auth/${mount}/role/${wrappedRole}/secret-id`,
  }
}

function readBy({ tls }: VaultConfig, { files }: Login, agentFile: string): string[] {
  const { caFile, caDir, certFile, keyFile } = tls
  const named = [agentFile, ...Object.values(files), caFile, certFile, keyFile]
  const folders = named.flatMap((file) => (file === undefined ? [] : [dirname(file)]))
  return outermost(caDir === undefined ? folders : [...folders, caDir])
}

function agentConfig(provider: VaultConfig, login: Login, { file, socket }: Agent): string {
  const [address = ''] = addressesOf(provider)
  const { caFile, caDir, certFile, keyFile = certFile, serverName } = provider.tls
  const known = provider.auth.method !== 'agent'
  const skips = provider.tls.dangerouslySkipVerification
  const head = `Of the Vault agent (or OpenBao's: bao agent takes the same file), on every node: ${file}
It logs in with AppRole and adds its token to what comes over its socket: the plugin has neither login nor token.
${known ? '' : `\nThe config names the agent alone, so the address below is none: put your Vault's here, and ca_cert where its authority is your own.\n`}`
  return `${comment(head)}
vault {
${settings({
  address: known ? address : 'https://vault.example.org:8200',
  ca_cert: caFile,
  ca_path: caDir,
  client_cert: certFile,
  client_key: keyFile,
  tls_server_name: serverName,
  tls_skip_verify: skips || undefined,
})}}
auto_auth {
  method "approle" {
${indent(settings({ mount_path: `auth/${login.mount}`, namespace: login.namespace }), 2)}    config = {
${indent(
  settings({
    ...login.files,
    secret_id_response_wrapping_path: login.wrapping,
    remove_secret_id_file_after_reading: false,
  }),
  4,
)}    }
  }
}
# An agent of Vault before 1.13 knows this as: cache { use_auto_auth_token = true }
api_proxy { use_auto_auth_token = true }
listener "unix" {
${settings({
  address: socket,
  tls_disable: true,
  require_request_header: true,
  socket_mode: '0600',
})}}
`
}

function settings(values: Readonly<Record<string, string | boolean | undefined>>): string {
  return Object.entries(values)
    .flatMap(([key, value]) =>
      value === undefined ? [] : [`  ${key} = ${JSON.stringify(value)}\n`],
    )
    .join('')
}

function agentPod(plan: Plan, { file, socket, reads }: Agent): string {
  const folder = dirname(socket)
  const mounts = reads.map(
    (path, at) =>
      `      - { name: agent-read-${at}, mountPath: ${quoted(path)}, readOnly: true }\n`,
  )
  const containers = `  - name: vault-agent
    image: "hashicorp/vault:1.20"        # or openbao/openbao and bao, by digest; must be on the node already
    command: [vault, agent, ${quoted(`-config=${file}`)}]
    resources: { requests: { cpu: 20m, memory: 64Mi }, limits: { memory: 256Mi } }
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: { drop: [ALL] }
    volumeMounts:
${mounts.join('')}      - { name: agent-socket, mountPath: ${quoted(folder)} }
`
  const volumes = reads.map(
    (path, at) =>
      `  - { name: agent-read-${at}, hostPath: { path: ${quoted(path)}, type: Directory } }\n`,
  )
  const parts = {
    containers,
    mounts: `    - { name: agent-socket, mountPath: ${quoted(folder)} }\n`,
    volumes: `${volumes.join('')}  - { name: agent-socket, emptyDir: { medium: Memory } }\n`,
  }
  const withoutAgent = { ...plan, read: plan.read.filter((path) => path !== folder) }
  const about = `Static pod with a Vault agent as a sidecar. Goes where the kubelet's staticPodPath points; agent.hcl and the config beside it
go to ${dirname(file)}, mode 0640, group ${plan.user}. Both containers are user ${plan.user}: the agent writes to its socket's folder alone, which is
the pod's own. Until the agent has logged in the plugin says so in its Status, and tries again.${plan.config.signer?.key.type === 'vault' ? '\nThe key of the signer is reached as the config says, without the agent.' : ''}`
  return pod(about, withoutAgent, parts)
}
