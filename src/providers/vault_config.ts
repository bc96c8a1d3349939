/** What a provider of type `vault` is configured with. @module */

import * as v from 'valibot'
import { vaultAuth } from '../auth/vault_auth.ts'
import { vaultPath } from '../auth/vault_login.ts'
import { providerFields } from './provider_fields.ts'

const address = v.pipe(
  v.string(),
  v.regex(/^https?:\/\/[^/?#@\s]+\/?$/, 'https://host:port without a path'),
  v.transform((text) => text.replace(/\/$/, '')),
)

export const vaultConfig = v.pipe(
  v.strictObject({
    ...providerFields,
    type: v.literal('vault'),
    address: v.pipe(address, v.description('https://host:port of Vault or OpenBao')),
    allowInsecureHttp: v.optional(
      v.pipe(
        v.boolean(),
        v.description('Lets address be http://, where anybody on the way can read keys'),
      ),
      false,
    ),
    namespace: v.optional(v.pipe(vaultPath, v.description('Namespace of login and key'))),
    mount: v.optional(v.pipe(vaultPath, v.description('Mount of the transit engine')), 'transit'),
    key: v.pipe(v.string(), v.regex(/^[\w.-]+$/), v.description('Name of the transit key')),
    tls: v.optional(
      v.strictObject({
        caFile: v.optional(
          v.pipe(
            v.string(),
            v.startsWith('/'),
            v.description('PEM file of the authorities to trust'),
          ),
        ),
        serverName: v.optional(
          v.pipe(v.string(), v.nonEmpty(), v.description('Name in the certificate of the service')),
        ),
      }),
      {},
    ),
    auth: vaultAuth,
  }),
  v.forward(
    v.check(
      ({ address, allowInsecureHttp }) => allowInsecureHttp || address.startsWith('https://'),
      'https:// (http:// only with allowInsecureHttp: true)',
    ),
    ['address'],
  ),
)
export type VaultConfig = v.InferOutput<typeof vaultConfig>
