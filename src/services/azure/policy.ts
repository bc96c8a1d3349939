/**
 * The role that the plugin needs on its key and nothing more, as commands of the Azure CLI: Azure
 * RBAC for a vault (learn.microsoft.com/azure/key-vault/general/rbac-guide), the local RBAC of a
 * managed HSM (learn.microsoft.com/azure/key-vault/managed-hsm/role-management).
 *
 * @module
 */

import type { AzureKmsConfig } from './config.ts'

const ROLE = 'Trousseau KMS'

/** The permissions to grant, and on what, for messages. */
export function permissionsText({ vault, managedHsm, key }: AzureKmsConfig): string {
  return managedHsm === undefined
    ? `give its identity the role "Key Vault Crypto User" on key ${key} of vault ${vault}, or get, list, encrypt and decrypt in an access policy`
    : `give its identity the role "Managed HSM Crypto User" on /keys/${key} of managed HSM ${managedHsm}`
}

export function azurePolicyText(config: AzureKmsConfig): string {
  const who = principalOf(config.login)
  const lines = config.managedHsm === undefined ? vaultLines(config) : hsmLines(config)
  return `${[`# Provider ${config.name}`, 'set -eu', ...who, ...lines].join('\n')}\n`
}

function principalOf(login: AzureKmsConfig['login']): string[] {
  if ('clientId' in login && login.clientId !== undefined) return [`principal=${login.clientId}`]
  if ('resourceId' in login && login.resourceId !== undefined) {
    return [`principal=$(az identity show --ids '${login.resourceId}' --query clientId -o tsv)`]
  }
  return [
    '# Object id of the identity that the node logs in with; the config file does not say it.',
    `principal=\${1:?object id of the identity}`,
  ]
}

function vaultLines({ vault, key }: AzureKmsConfig): string[] {
  const actions = ['read', 'encrypt/action', 'decrypt/action']
  return [
    '# Reads which versions the key has, encrypts and decrypts; shows no key material.',
    'subscription=$(az account show --query id -o tsv)',
    `vault=$(az keyvault show --name ${vault} --query id -o tsv)`,
    `az role definition create --role-definition "${shellJson({
      Name: ROLE,
      Description: 'Encrypts and decrypts with keys',
      IsCustom: true,
      DataActions: actions.map((action) => `Microsoft.KeyVault/vaults/keys/${action}`),
      AssignableScopes: ['/subscriptions/$subscription'],
    })}"`,
    `az role assignment create --role "${ROLE}" --assignee "$principal" --scope "$vault/keys/${key}"`,
    '# A vault that still has access policies, which are for all of its keys:',
    `# az keyvault set-policy --name ${vault} --spn "$principal" --key-permissions get list encrypt decrypt`,
  ]
}

function hsmLines({ managedHsm, key }: AzureKmsConfig): string[] {
  const actions = ['read/action', 'encrypt/action', 'decrypt/action']
  return [
    '# Reads which versions the key has, encrypts and decrypts; shows no key material.',
    `az keyvault role definition create --hsm-name ${managedHsm} --role-definition "${shellJson({
      roleName: ROLE,
      description: 'Encrypts and decrypts with keys',
      actions: [],
      notActions: [],
      dataActions: actions.map((action) => `Microsoft.KeyVault/managedHsm/keys/${action}`),
      notDataActions: [],
    })}"`,
    `az keyvault role assignment create --hsm-name ${managedHsm} --role "${ROLE}" --assignee "$principal" --scope /keys/${key}`,
  ]
}

/** JSON inside double quotes of the shell, so that the shell fills in variables. */
function shellJson(value: object): string {
  return JSON.stringify(value, undefined, 2).replaceAll('"', '\\"')
}
