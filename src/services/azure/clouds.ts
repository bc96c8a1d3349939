/**
 * The clouds of Azure and their hosts, as in "National clouds"
 * (learn.microsoft.com/entra/identity-platform/authentication-national-cloud) and "Vault name and
 * object name" (learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates).
 *
 * @module
 */

interface AzureCloud {
  /** Where Microsoft Entra issues tokens. */
  readonly authority: string
  /** The domain of the vaults, which is also the audience of their tokens. */
  readonly vault: string
  readonly managedHsm: string
  /** The cloud's names in azure.json. */
  readonly names: RegExp
}

export const AZURE_CLOUDS = {
  public: {
    authority: 'https://login.microsoftonline.com',
    vault: 'vault.azure.net',
    managedHsm: 'managedhsm.azure.net',
    names: /^(?:azure(?:public)?(?:cloud)?)?$/i,
  },
  usGovernment: {
    authority: 'https://login.microsoftonline.us',
    vault: 'vault.usgovcloudapi.net',
    managedHsm: 'managedhsm.usgovcloudapi.net',
    names: /^azureusgovernment(?:cloud)?$/i,
  },
  china: {
    authority: 'https://login.partner.microsoftonline.cn',
    vault: 'vault.azure.cn',
    managedHsm: 'managedhsm.azure.cn',
    names: /^azurechina(?:cloud)?$/i,
  },
} as const satisfies Record<string, AzureCloud>

export type AzureCloudName = keyof typeof AZURE_CLOUDS
export const AZURE_CLOUD_NAMES = ['public', 'usGovernment', 'china'] as const
