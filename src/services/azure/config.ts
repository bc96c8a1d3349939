/** The config of a provider of type `azurekms`. @module */

import * as v from 'valibot'
import { tlsConfig } from '../../remote/tls_fields.ts'
import { allowInsecureHttp, httpOrigin as origin, proxyConfig } from '../http_fields.ts'
import { providerFields } from '../provider_fields.ts'
import { AZURE_CLOUD_NAMES, AZURE_CLOUDS } from './clouds.ts'
import { azureLogin } from './login/auth.ts'
import { METADATA_SERVICE } from './login/identity.ts'

/** Names of vaults, HSMs and keys are case-insensitive, and provider ids are made of them. */
const placeName = v.pipe(
  v.string(),
  v.regex(/^[a-z][a-z0-9-]{1,22}[a-z0-9]$/i, '3 to 24 letters, digits and "-"'),
  v.toLowerCase(),
)

const endpoints = v.strictObject({
  vault: v.optional(
    v.pipe(
      origin,
      v.description('https://host of the vault or managed HSM, such as a private one'),
    ),
  ),
  authority: v.optional(
    v.pipe(origin, v.description('https://host of Microsoft Entra, for a cloud of its own')),
  ),
  metadata: v.optional(
    v.pipe(origin, v.description('http://host:port of the metadata service of this machine')),
    METADATA_SERVICE,
  ),
})

export const azureKmsConfig = v.pipe(
  v.strictObject({
    ...providerFields,
    type: v.literal('azurekms'),
    vault: v.optional(
      v.pipe(placeName, v.description('Name of the key vault, without its domain')),
    ),
    managedHsm: v.optional(
      v.pipe(placeName, v.description('Name of the managed HSM, without its domain; not vault')),
    ),
    key: v.pipe(
      v.string(),
      v.regex(/^[a-z0-9-]{1,127}$/i, 'letters, digits and "-"'),
      v.description('Name of the key, without a version'),
    ),
    algorithm: v.optional(
      v.pipe(
        v.picklist(['RSA-OAEP-256', 'A256GCM']),
        v.description(
          'A256GCM where absent on a managed HSM, which binds wraps to their envelope; RSA-OAEP-256 in a vault, which has no others',
        ),
      ),
    ),
    keySize: v.optional(
      v.pipe(
        v.picklist([2048, 3072, 4096]),
        v.description('Bits of an RSA key; where absent, limits hold for every size'),
      ),
    ),
    cloud: v.optional(
      v.pipe(v.picklist(AZURE_CLOUD_NAMES), v.description('Which of the clouds of Azure')),
      'public',
    ),
    endpoints: v.optional(v.pipe(endpoints, v.description("Other hosts than the cloud's own")), {}),
    audience: v.optional(
      v.pipe(
        origin,
        v.description('Whose tokens to ask for where not https://vault.azure.net or its like'),
      ),
    ),
    allowInsecureHttp,
    tls: v.optional(tlsConfig, {}),
    proxy: v.optional(
      v.pipe(
        proxyConfig,
        v.description('HTTP proxy; the metadata service is never asked through it'),
      ),
    ),
    login: v.pipe(azureLogin, v.description('How to get tokens of Microsoft Entra')),
  }),
  v.forward(
    v.check(
      ({ vault, managedHsm }) => (vault === undefined) !== (managedHsm === undefined),
      'exactly one of vault and managedHsm',
    ),
    ['vault'],
  ),
  v.forward(
    v.check(
      ({ vault, algorithm }) => vault === undefined || algorithm !== 'A256GCM',
      'RSA-OAEP-256: a vault has no AES keys, a managed HSM has',
    ),
    ['algorithm'],
  ),
  v.forward(
    v.check(
      (config) => config.keySize === undefined || algorithmOf(config) === 'RSA-OAEP-256',
      'nothing: it is for RSA keys',
    ),
    ['keySize'],
  ),
  v.forward(
    v.check(
      ({ allowInsecureHttp: mayBeOpen, endpoints: { vault = 'https:', authority = 'https:' } }) =>
        mayBeOpen || [vault, authority].every((one) => one.startsWith('https:')),
      'https:// (http:// only with allowInsecureHttp: true)',
    ),
    ['endpoints'],
  ),
)
export type AzureKmsConfig = v.InferOutput<typeof azureKmsConfig>
export type AzureAlgorithm = 'RSA-OAEP-256' | 'A256GCM'

export function algorithmOf({
  algorithm,
  managedHsm,
}: {
  readonly algorithm?: AzureAlgorithm | undefined
  readonly managedHsm?: string | undefined
}): AzureAlgorithm {
  return algorithm ?? (managedHsm === undefined ? 'RSA-OAEP-256' : 'A256GCM')
}

export interface AzurePlace {
  /** `vault/NAME` or `hsm/NAME`. */
  readonly name: string
  readonly address: string
  /** The host by which the service itself names keys, also in key ids. */
  readonly host: string
  readonly audience: string
}

/** Where the key is, and which audience its tokens have. */
export function placeOf(config: AzureKmsConfig): AzurePlace {
  const { vault, managedHsm, cloud, endpoints: other, audience } = config
  const domains = AZURE_CLOUDS[cloud]
  const domain = managedHsm === undefined ? domains.vault : domains.managedHsm
  const host = `${managedHsm ?? vault}.${domain}`
  return {
    name: managedHsm === undefined ? `vault/${vault}` : `hsm/${managedHsm}`,
    address: other.vault ?? `https://${host}`,
    host,
    audience: audience ?? `https://${domain}`,
  }
}
