/** What a provider of type `vault` is configured with. @module */

import * as v from 'valibot'
import { absolutePath as absolute, vaultPath } from '../auth/login_fields.ts'
import { vaultAuth } from '../auth/vault_auth.ts'
import { providerFields } from './provider_fields.ts'

const address = v.pipe(
  v.string(),
  v.regex(
    /^(?:https?:\/\/[^/?#@\s]+\/?|unix:\/\/\/\S+)$/,
    'https://host:port without a path, or unix:///path of an agent',
  ),
  v.check((text) => text.startsWith('unix:') || URL.canParse(text), 'https://host:port'),
  v.transform((text) => (text.startsWith('unix:') ? text : new URL(text).origin)),
)

/** Of every provider that speaks HTTP, like {@link proxy}. */
export const tls = v.pipe(
  v.strictObject({
    caFile: v.optional(
      v.pipe(absolute, v.description('PEM file of the authorities to trust, and no others')),
    ),
    caDir: v.optional(v.pipe(absolute, v.description('Folder of such files (.pem, .crt, .cer)'))),
    serverName: v.optional(
      v.pipe(v.string(), v.nonEmpty(), v.description('Name in the certificate of the service')),
    ),
    certFile: v.optional(
      v.pipe(absolute, v.description('PEM file of the client certificate; may hold its key too')),
    ),
    keyFile: v.optional(
      v.pipe(absolute, v.description('PEM file of its key, where certFile does not hold it')),
    ),
    dangerouslySkipVerification: v.optional(
      v.pipe(
        v.boolean(),
        v.description('Takes any certificate: anybody on the way can read keys and tokens'),
      ),
      false,
    ),
  }),
  v.check(
    ({ certFile, keyFile }) => keyFile === undefined || certFile !== undefined,
    'keyFile only with certFile',
  ),
)

export const proxy = v.strictObject({
  url: v.pipe(
    v.string(),
    v.regex(/^https?:\/\/[^/?#@\s]+\/?$/, 'http://host:port without credentials or path'),
    v.description('http://host:port of the proxy'),
  ),
  except: v.optional(
    v.pipe(
      v.array(
        v.pipe(
          v.string(),
          v.regex(/^[\w.:*-]+(?:\/\d{1,3})?$/, 'a host, .domain, address or address/bits'),
        ),
      ),
      v.description('Hosts, .domains, addresses and address/bits that are asked directly'),
    ),
    [],
  ),
  credentialsFile: v.optional(
    v.pipe(absolute, v.description('File with user:password for the proxy')),
  ),
})

const settingsFrom = v.strictObject({
  mount: v.pipe(vaultPath, v.description('Mount of the key-value engine')),
  path: v.pipe(vaultPath, v.description('Path of the settings in it')),
  version: v.optional(
    v.pipe(v.picklist([1, 2]), v.description('Version of the key-value engine')),
    2,
  ),
})

export const transitKeyName = v.pipe(v.string(), v.regex(/^[\w.-]+$/))

export const vaultConfig = v.pipe(
  v.strictObject({
    ...providerFields,
    type: v.literal('vault'),
    address: v.optional(v.pipe(address, v.description('https://host:port of Vault or OpenBao'))),
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
    namespace: v.optional(
      v.pipe(vaultPath, v.description('Namespace of the key, and of the login')),
    ),
    mount: v.optional(
      v.pipe(vaultPath, v.description('Mount of the transit engine; transit where absent')),
    ),
    key: v.optional(v.pipe(transitKeyName, v.description('Name of the transit key'))),
    settingsFrom: v.optional(
      v.pipe(settingsFrom, v.description('Where settings that are not secret are kept in Vault')),
    ),
    tls: v.optional(tls, {}),
    proxy: v.optional(v.pipe(proxy, v.description('HTTP proxy on the way to the addresses'))),
    auth: vaultAuth,
  }),
  v.forward(
    v.check(
      ({ address, addresses }) => (address === undefined) !== (addresses === undefined),
      'exactly one of address and addresses',
    ),
    ['address'],
  ),
  v.forward(
    v.check(
      (config) =>
        config.allowInsecureHttp || addressesOf(config).every((one) => !one.startsWith('http://')),
      'https:// (http:// only with allowInsecureHttp: true)',
    ),
    ['address'],
  ),
  v.forward(
    v.check(
      ({ auth, tls: { certFile } }) => auth.method !== 'cert' || certFile !== undefined,
      'tls.certFile, which the login cert presents',
    ),
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

/** The nodes to ask, the preferred one first. */
export function addressesOf({
  address: one,
  addresses,
}: {
  readonly address?: string | undefined
  readonly addresses?: readonly string[] | undefined
}): readonly string[] {
  return addresses ?? (one === undefined ? [] : [one])
}
