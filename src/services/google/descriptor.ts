/** The descriptor of the type `gcpkms`. @module */

import { httpAddresses, httpPaths, verificationRemarks } from '../http_traits.ts'
import type { PolicyText, ProviderDescriptor } from '../provider_descriptor.ts'
import { endpointOf, type GcpKmsConfig, gcpKmsConfig } from './config.ts'
import type { GoogleAuth } from './login/auth.ts'
import { gcpKmsPolicy } from './policy.ts'
import { createGcpKmsProvider } from './provider.ts'

export const gcpKmsDescriptor = {
  config: gcpKmsConfig,
  create: createGcpKmsProvider,
  addresses: (config) => {
    const { auth } = config
    const exchanged = auth.method === 'federation' ? auth.stsEndpoint : undefined
    const metadata = auth.method === 'metadata' ? auth.address : undefined
    return httpAddresses(config, [endpointOf(config), auth.iamEndpoint, exchanged], [metadata])
  },
  paths: (config) => httpPaths(config, loginFiles(config.auth)),
  remarks: (config) => verificationRemarks(config),
  starting: {
    keys: `key: projects/my-project/locations/europe-west1/keyRings/k8s/cryptoKeys/etcd
auth: { method: metadata }                  # the service account of the machine
`,
    next: '"trousseau gcpkms policy --config FILE" prints the bindings that this account needs.',
  },
  opens: ['k8s-cloudkms-plugin'],
  foreignKey: ({ key }) => key,
  policy: {
    about: 'what Google Cloud must be told before the plugin may use a key',
    does: 'print the IAM bindings that the plugin needs, as gcloud commands',
    print: printPolicy,
  },
} as const satisfies ProviderDescriptor<GcpKmsConfig>

function loginFiles(auth: GoogleAuth): string[] {
  switch (auth.method) {
    case 'key':
      return [auth.keyFile]
    case 'federation':
      return [auth.credentialsFile]
    case 'metadata':
      return []
  }
}

async function printPolicy(configs: readonly GcpKmsConfig[]): Promise<PolicyText> {
  const texts = await Promise.all(configs.map(gcpKmsPolicy))
  return { text: texts.join('\n'), warnings: [] }
}
