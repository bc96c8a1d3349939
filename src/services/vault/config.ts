/** The config of a provider of type `vault`. @module */

import * as v from 'valibot'
import { normalAddress, SERVICE_ADDRESS, wantedOfAddress } from '../../remote/http/address.ts'
import { NAME_WORDS, VAULT_NAME, vaultPath } from '../../remote/login_fields.ts'
import { tlsConfig } from '../../remote/tls_fields.ts'
import { proxyConfig } from '../http_fields.ts'
import { providerFields } from '../provider_fields.ts'
import { vaultAuth } from './login/auth.ts'

const address = v.pipe(
  v.string(),
  v.regex(SERVICE_ADDRESS, ({ input }) => wantedOfAddress(input)),
  v.check((text) => !SERVICE_ADDRESS.test(text) || URL.canParse(text), 'https://host:port'),
  v.transform(normalAddress),
)

const settingsFrom = v.strictObject({
  mount: v.pipe(vaultPath, v.description('Mount of the key-value engine')),
  path: v.pipe(vaultPath, v.description('Path of the settings in it')),
  version: v.optional(
    v.pipe(v.picklist([1, 2]), v.description('Version of the key-value engine')),
    2,
  ),
})

export const transitKeyName = v.pipe(v.string(), v.regex(VAULT_NAME, NAME_WORDS))

/** The keys about the way to the service. */
const wayFields = {
  address: v.optional(
    v.pipe(
      address,
      v.description('https://host:port of Vault or OpenBao, and the path that it is served under'),
    ),
  ),
  addresses: v.optional(
    v.pipe(
      v.array(address),
      v.minLength(1),
      v.maxLength(16),
      v.description('The nodes of one cluster, the preferred one first; instead of address'),
    ),
  ),
  allowInsecureHttp: v.optional(
    v.pipe(
      v.boolean(),
      v.description('Lets addresses be http://, where anybody on the way can read keys'),
    ),
    false,
  ),
  namespace: v.optional(v.pipe(vaultPath, v.description('Namespace of the key, and of the login'))),
  tls: v.optional(tlsConfig, {}),
  proxy: v.optional(v.pipe(proxyConfig, v.description('HTTP proxy on the way to the addresses'))),
  auth: vaultAuth,
}

const ADDRESS_WORDS = 'exactly one of address and addresses'
const HTTPS_WORDS = 'https:// (http:// only with allowInsecureHttp: true)'
const CERT_WORDS = 'tls.certFile, which the login cert presents'

interface Way {
  readonly address?: string | undefined
  readonly addresses?: readonly string[] | undefined
  readonly allowInsecureHttp: boolean
}

function hasOneAddress({ address: one, addresses }: Way): boolean {
  return (one === undefined) !== (addresses === undefined)
}

function isPrivate(config: Way): boolean {
  return config.allowInsecureHttp || addressesOf(config).every((at) => !at.startsWith('http://'))
}

function hasCertificate(config: {
  readonly auth: { readonly method: string }
  readonly tls: { readonly certFile?: string | undefined }
}): boolean {
  return config.auth.method !== 'cert' || config.tls.certFile !== undefined
}

export const vaultConfig = v.pipe(
  v.strictObject({
    ...providerFields,
    type: v.literal('vault'),
    ...wayFields,
    allowUnboundDecrypt: v.optional(
      v.pipe(
        v.boolean(),
        v.description(
          'Opens wraps that nothing was bound to, as versions before this option made them on Vault before 1.13',
        ),
      ),
      false,
    ),
    mount: v.optional(
      v.pipe(vaultPath, v.description('Mount of the transit engine; transit where absent')),
    ),
    key: v.optional(v.pipe(transitKeyName, v.description('Name of the transit key'))),
    settingsFrom: v.optional(
      v.pipe(settingsFrom, v.description('Where settings that are not secret are kept in Vault')),
    ),
  }),
  v.forward(
    v.check((config) => hasOneAddress(config), ADDRESS_WORDS),
    ['address'],
  ),
  v.forward(
    v.check((config) => isPrivate(config), HTTPS_WORDS),
    ['address'],
  ),
  v.forward(
    v.check((config) => hasCertificate(config), CERT_WORDS),
    ['tls'],
  ),
  v.forward(
    v.check(
      ({ key, settingsFrom: from }) => key !== undefined || from !== undefined,
      'the name of the transit key, or settingsFrom',
    ),
    ['key'],
  ),
  v.forward(
    v.check(
      ({ id, key, mount, settingsFrom: from }) =>
        id !== undefined || from === undefined || (key !== undefined && mount !== undefined),
      'an id that never changes, where mount and key come from settingsFrom',
    ),
    ['id'],
  ),
)
export type VaultConfig = v.InferOutput<typeof vaultConfig>

/** The signing key of a signer in a transit engine. */
export const vaultSigningConfig = v.pipe(
  v.strictObject({
    type: v.literal('vault'),
    ...wayFields,
    mount: v.optional(v.pipe(vaultPath, v.description('Mount of the transit engine')), 'transit'),
    key: v.pipe(
      transitKeyName,
      v.description('Name of the transit key, of type ecdsa-p256, ecdsa-p384, ecdsa-p521 or rsa'),
    ),
  }),
  v.forward(
    v.check((config) => hasOneAddress(config), ADDRESS_WORDS),
    ['address'],
  ),
  v.forward(
    v.check((config) => isPrivate(config), HTTPS_WORDS),
    ['address'],
  ),
  v.forward(
    v.check((config) => hasCertificate(config), CERT_WORDS),
    ['tls'],
  ),
)
export type VaultSigningConfig = v.InferOutput<typeof vaultSigningConfig>

/** The addresses of the nodes, the preferred one first. */
export function addressesOf({
  address: one,
  addresses,
}: {
  readonly address?: string | undefined
  readonly addresses?: readonly string[] | undefined
}): readonly string[] {
  return addresses ?? (one === undefined ? [] : [one])
}
