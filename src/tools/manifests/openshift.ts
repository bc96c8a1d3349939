/**
 * For OpenShift and OKD, whose operators run the plugin themselves: the `APIServer` resource that
 * has them do so, the commands that make what it names, and the policy (docs/openshift.md).
 *
 * @module
 */

import { commandLine, comment as shellComment } from '../../base/shell.ts'
import { ConfigError } from '../../config/load.ts'
import { policyText } from '../../services/vault/setup/policy.ts'
import { type OpenShiftVault, openShiftVault } from './openshift_rules.ts'
import type { Plan } from './plan.ts'
import { comment, indent, type ManifestFile, quoted } from './text.ts'

/** How the resource names the key: `oc explain` tells which of them a cluster knows. */
export const KEY_FIELDS = ['vaultKeyPath', 'transitKey'] as const
export type KeyField = (typeof KEY_FIELDS)[number]

const SECRET = 'trousseau-approle'
const CONFIG_MAP = 'trousseau-ca'
const NAMESPACE = 'openshift-config'

/** @throws ConfigError for a config that the operators cannot run */
export function openshift(plan: Plan): ManifestFile[] {
  const { vault, problems } = openShiftVault(plan)
  if (vault === undefined) {
    throw new ConfigError(
      problems.map((problem) => `For OpenShift: ${problem}`),
      { hint: 'docs/openshift.md says what its operators pass to a plugin' },
    )
  }
  return [
    { path: 'openshift-apiserver.yaml', text: apiServer(vault, plan) },
    { path: 'openshift-credentials.sh', text: credentials(vault) },
    { path: `${vault.name}-policy.hcl`, text: policyText(vault) },
  ]
}

function apiServer(vault: OpenShiftVault, { image, keyField }: Plan): string {
  const { address, namespace, caFile, serverName, auth } = vault
  const tls = [
    ...(caFile === undefined ? [] : [`caBundle: { name: ${CONFIG_MAP} }\n`]),
    ...(serverName === undefined ? [] : [`serverName: ${quoted(serverName)}\n`]),
  ]
  const vaultKeys = [
    `kmsPluginImage: ${quoted(image)}\n`,
    `vaultAddress: ${quoted(address)}\n`,
    ...keyFields(vault, keyField),
    ...(namespace === undefined ? [] : [`vaultNamespace: ${quoted(namespace)}\n`]),
    ...(auth.namespace === undefined ? [] : [`vaultAuthNamespace: ${quoted(auth.namespace)}\n`]),
    ...(tls.length === 0 ? [] : [`tls:\n${indent(tls.join(''), 2)}`]),
    `authentication:\n  type: AppRole\n  appRole: { secret: { name: ${SECRET} } }\n`,
  ]
  return `${comment(`The cluster's only APIServer resource. Look at what is there (oc get apiserver cluster -o yaml), run
openshift-credentials.sh, and merge this into it:

  oc patch apiserver cluster --type merge --patch-file openshift-apiserver.yaml

The feature gate KMSEncryption must be on: it is a technology preview. Where "oc explain
apiserver.spec.encryption.kms.vault" lists transitMount and transitKey and no vaultKeyPath, print
this with --key-field transitKey.`)}
apiVersion: config.openshift.io/v1
kind: APIServer
metadata:
  name: cluster
spec:
  encryption:
    type: KMS
    kms:
      type: Vault
      vault:
${indent(vaultKeys.join(''), 8)}`
}

function keyFields({ mount, key }: OpenShiftVault, field: KeyField): string[] {
  if (field === 'vaultKeyPath') return [`vaultKeyPath: ${quoted(`${mount}/keys/${key}`)}\n`]
  return [`transitMount: ${quoted(mount)}\n`, `transitKey: ${quoted(key)}\n`]
}

/** Commands and no manifests, since a secret id belongs into no text that is kept. */
function credentials({ auth, caFile }: OpenShiftVault): string {
  const { roleId, roleIdFile = '', secretIdFile } = auth
  const role =
    roleId === undefined ? `--from-file=role-id=${roleIdFile}` : `--from-literal=role-id=${roleId}`
  const made = [
    ['secret', 'generic', SECRET, role, `--from-file=secret-id=${secretIdFile}`],
    ...(caFile === undefined
      ? []
      : [['configmap', CONFIG_MAP, `--from-file=ca-bundle.crt=${caFile}`]]),
  ]
  const lines = made.map((words) => {
    const create = ['oc', 'create', ...words, '-n', NAMESPACE, '--dry-run=client', '-o', 'yaml']
    return `${commandLine(create)} | oc apply -f -\n`
  })
  return `#!/bin/sh
${shellComment('Makes what the APIServer resource names, of the files that the config names; run it where they are.')}
${shellComment('A role id is no secret; the secret id is read from its file and shown nowhere.')}
set -eu
${lines.join('')}`
}
