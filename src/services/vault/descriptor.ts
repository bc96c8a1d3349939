/** The descriptor of the type `vault`. @module */

import type { NodeRemark, Remark } from '../../base/provider.ts'
import { unixPathOf } from '../../base/socket_path.ts'
import { socketPathOf } from '../../remote/jwt_svid.ts'
import type { TpmKeyConfig } from '../../remote/tpm/config.ts'
import {
  httpAddresses,
  httpPaths,
  issuedTokenRemarks,
  verificationRemarks,
} from '../http_traits.ts'
import type { NodeDeps, PolicyText, ProviderDescriptor } from '../provider_descriptor.ts'
import { addressesOf, type VaultConfig, vaultConfig } from './config.ts'
import { claimedBy, type VaultAuth } from './login/auth.ts'
import { createVaultProvider } from './provider.ts'
import { setupInputOf } from './setup/input.ts'
import { policyText } from './setup/policy.ts'

export const vaultDescriptor = {
  config: vaultConfig,
  create: createVaultProvider,
  addresses: (config) =>
    httpAddresses(
      config,
      addressesOf(config).filter((address) => unixPathOf(address) === undefined),
    ),
  paths: (config) => ({
    ...httpPaths(config, loginFiles(config.auth), [
      ...addressesOf(config).flatMap((address) => unixPathOf(address) ?? []),
      ...workloadSocket(config.auth),
      ...tpmSocket(config.auth),
    ]),
    devices: tpmDevices(config.auth),
  }),
  examineNode,
  remarks: (config) => [...verificationRemarks(config), ...loginRemarks(config.auth)],
  logsInOnce: ({ auth }) => isWrapped(auth),
  asksTokenReview: ({ auth }) => auth.method === 'kubernetes',
  claimedFacts: ({ auth }) =>
    claimedBy(auth).map(([claim, path]) => ({ path, key: `auth.selfSigned.factClaims.${claim}` })),
  loginKey: ({ auth }) => (auth.method === 'jwt' ? auth.selfSigned : undefined),
  keepsSettings: ({ settingsFrom }) => settingsFrom !== undefined,
  starting: {
    keys: `address: https://vault.example.org:8200     # reachable without the cluster that it protects
mount: transit
key: k8s-etcd
tls: { caFile: /etc/trousseau/ca.pem }      # leave it out for public authorities
auth:                                       # docs/logins has the other ways
  method: approle
  roleIdFile: /etc/trousseau/role-id
  secretIdFile: /etc/trousseau/secret-id
`,
    next: '"trousseau vault setup --config FILE" prints what sets the key service up.',
  },
  opens: ['trousseau-1', 'trousseau-2', 'vault-kubernetes-kms', 'vault-kms-provider', 'kleidi'],
  policy: {
    about: 'what Vault or OpenBao must be told before the plugin may use it',
    does: 'print the policy that the plugin needs, and nothing more',
    print: printPolicy,
  },
} as const satisfies ProviderDescriptor<VaultConfig>

function loginFiles(auth: VaultAuth): (string | undefined)[] {
  switch (auth.method) {
    case 'approle':
      return [auth.roleIdFile, auth.secretIdFile]
    case 'jwt':
      return [auth.tokenFile, auth.selfSigned?.keyFile, ...tpmFiles(auth)]
    case 'kubernetes':
    case 'token':
      return [auth.tokenFile]
    case 'userpass':
      return [auth.passwordFile]
    case 'cert':
    case 'agent':
      return []
  }
}

function tpmOf(auth: VaultAuth): TpmKeyConfig | undefined {
  return auth.method === 'jwt' ? auth.selfSigned?.tpm : undefined
}

function tpmFiles(auth: VaultAuth): (string | undefined)[] {
  const tpm = tpmOf(auth)
  return [tpm?.keyFile, tpm?.policyFile]
}

/** The socket of the SPIFFE agent on this node. */
function workloadSocket(auth: VaultAuth): string[] {
  const socket = auth.method === 'jwt' ? auth.spiffe?.socket : undefined
  return socket === undefined ? [] : [socketPathOf(socket)]
}

/** The socket of a TPM that is no device. */
function tpmSocket(auth: VaultAuth): string[] {
  const socket = unixPathOf(tpmOf(auth)?.device ?? '')
  return socket === undefined ? [] : [socket]
}

function tpmDevices(auth: VaultAuth): string[] {
  const device = tpmOf(auth)?.device
  return device === undefined || unixPathOf(device) !== undefined ? [] : [device]
}

async function examineNode({ auth }: VaultConfig, deps: NodeDeps): Promise<NodeRemark[]> {
  const tpm = tpmOf(auth)
  if (tpm === undefined) return []
  const { tpmRemarks } = await import('../../remote/tpm/remarks.ts')
  return await tpmRemarks(tpm, deps)
}

function loginRemarks(auth: VaultAuth): Remark[] {
  if (isWrapped(auth)) return [WRAPPED]
  if (auth.method === 'kubernetes') return [REVIEWED]
  if (workloadSocket(auth).length > 0) return [ISSUED_BY_AGENT]
  return auth.method === 'jwt' ? issuedTokenRemarks(auth.tokenFile, 'auth.tokenFile') : []
}

function isWrapped(auth: VaultAuth): boolean {
  return auth.method === 'approle' && auth.wrappedRole !== undefined
}

const REVIEWED: Remark = {
  id: 'boot-kubernetes-login',
  level: 'warning',
  what: 'logs in with a ServiceAccount (auth.method kubernetes)',
  why: 'The key service asks an API server about the token: if it is the one that this plugin serves, neither starts without the other. A static pod has no such token at all.',
  todo: 'Use jwt with a key of the node, cert or approle: docs/logins/cold-boot.md.',
}

const ISSUED_BY_AGENT: Remark = {
  id: 'boot-spiffe-agent',
  level: 'notice',
  what: 'logs in with a SPIFFE agent',
  why: 'At a cold boot the agent and its SPIFFE server must run before kube-apiserver does. One that runs as a pod of this cluster may not: then neither starts without the other.',
  todo: 'Run the agent as a service of the node, with a server outside this cluster: docs/logins/cold-boot.md.',
}

const WRAPPED: Remark = {
  id: 'boot-wrapped-secret-id',
  level: 'warning',
  what: 'unwraps its secret id',
  why: 'That works once: after a boot the node cannot log in.',
  todo: 'Use it to bring a secret id in, then a plain one: docs/logins/approle.md.',
}

function printPolicy(configs: readonly VaultConfig[]): PolicyText {
  const texts = configs.map((config) => {
    const text = policyText(setupInputOf(config))
    return configs.length === 1 ? text : `# Provider ${config.name}\n\n${text}`
  })
  return { text: texts.join('\n'), warnings: [] }
}
