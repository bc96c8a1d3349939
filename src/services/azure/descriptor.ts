/** The descriptor of the type `azurekms`. @module */

import {
  httpAddresses,
  httpPaths,
  issuedTokenRemarks,
  verificationRemarks,
} from '../http_traits.ts'
import type { PolicyText, ProviderDescriptor } from '../provider_descriptor.ts'
import { type AzureKmsConfig, azureKmsConfig, placeOf } from './config.ts'
import type { AzureLogin } from './login/auth.ts'
import { azurePolicyText } from './policy.ts'
import { createAzureKmsProvider } from './provider.ts'

export const azureKmsDescriptor = {
  config: azureKmsConfig,
  create: createAzureKmsProvider,
  addresses: (config) =>
    httpAddresses(
      config,
      [placeOf(config).address, config.endpoints.authority],
      [config.endpoints.metadata],
    ),
  paths: (config) => httpPaths(config, loginFiles(config.login)),
  remarks: (config) => [
    ...verificationRemarks(config),
    ...(config.login.method === 'workloadIdentity'
      ? issuedTokenRemarks(config.login.tokenFile, 'login.tokenFile')
      : []),
  ],
  starting: {
    keys: `vault: my-key-vault                         # its name without the domain; or managedHsm: NAME
key: k8s-etcd                               # without a version
login: { method: managedIdentity }          # clientId: where the machine has several
`,
    next: '"trousseau azurekms policy --config FILE" prints the role that this identity needs.',
  },
  opens: ['trousseau-2', 'azure-kubernetes-kms'],
  policy: {
    about: 'what Azure must be told before the plugin may use a key of Key Vault',
    does: 'print the commands that make the role which the plugin needs, and nothing more',
    print: printPolicy,
  },
} as const satisfies ProviderDescriptor<AzureKmsConfig>

function loginFiles(login: AzureLogin): (string | undefined)[] {
  switch (login.method) {
    case 'azureJson':
      return [login.file]
    case 'clientCertificate':
      return [login.certFile, login.keyFile]
    case 'clientSecret':
      return [login.secretFile]
    case 'workloadIdentity':
      return [login.tokenFile]
    case 'managedIdentity':
      return []
  }
}

function printPolicy(configs: readonly AzureKmsConfig[]): PolicyText {
  return { text: configs.map(azurePolicyText).join('\n'), warnings: [] }
}
