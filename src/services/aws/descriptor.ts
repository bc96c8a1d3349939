/** The descriptor of the type `awskms`. @module */

import type { Remark } from '../../base/provider.ts'
import { httpAddresses, httpPaths, issuedTokenRemarks } from '../http_traits.ts'
import type { PolicyText, ProviderDescriptor } from '../provider_descriptor.ts'
import { type AwsKmsConfig, awsKmsConfig, keyNameOf } from './config.ts'
import { awsEndpoint } from './endpoints.ts'
import type { AwsCredentialsConfig } from './login/credentials.ts'
import { awsKmsPolicy } from './policy.ts'
import { createAwsKmsProvider } from './provider.ts'

export const awsKmsDescriptor = {
  config: awsKmsConfig,
  create: createAwsKmsProvider,
  addresses: (config) =>
    httpAddresses(
      config,
      [config.endpoint ?? kmsEndpoint(config), config.stsEndpoint],
      metadataOf(config.credentials),
    ),
  paths: (config) =>
    httpPaths(config, [config.grantTokenFile, ...credentialFiles(config.credentials)]),
  remarks: ({ credentials }) => loginRemarks(credentials),
  starting: {
    keys: `key: arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab
credentials: { source: imds }               # the role of the instance
`,
    next: '"trousseau awskms policy --config FILE" prints the policy that this role needs.',
  },
  opens: ['trousseau-2', 'aws-encryption-provider'],
  foreignKey: ({ key }) => key,
  policy: {
    about: 'what AWS must be told before the plugin may use a key',
    does: 'print the IAM policy that the plugin needs, and nothing more',
    print: printPolicy,
  },
} as const satisfies ProviderDescriptor<AwsKmsConfig>

function kmsEndpoint(config: AwsKmsConfig): string {
  return awsEndpoint('kms', { ...config, region: keyNameOf(config).region })
}

function credentialFiles(credentials: AwsCredentialsConfig): (string | undefined)[] {
  switch (credentials.source) {
    case 'profile':
      return [credentials.configFile, credentials.credentialsFile]
    case 'webIdentity':
    case 'container':
      return [credentials.tokenFile]
    case 'default':
    case 'environment':
    case 'imds':
      return []
  }
}

function metadataOf(credentials: AwsCredentialsConfig): (string | undefined)[] {
  if (credentials.source === 'imds') return [credentials.endpoint]
  return credentials.source === 'container' ? [credentials.uri] : []
}

function loginRemarks(credentials: AwsCredentialsConfig): Remark[] {
  if (credentials.source !== 'webIdentity' && credentials.source !== 'container') return []
  return issuedTokenRemarks(credentials.tokenFile, 'credentials.tokenFile')
}

function printPolicy(configs: readonly AwsKmsConfig[]): PolicyText {
  const warnings = configs
    .filter((config) => keyNameOf(config).kind === 'alias')
    .map(
      ({ name }) =>
        `Provider "${name}" names an alias: a key that loses it is denied by this policy, also while it is in use; name the key by its ARN`,
    )
  return { text: awsKmsPolicy(configs), warnings }
}
