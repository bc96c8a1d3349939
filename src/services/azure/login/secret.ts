/**
 * Login as an application with a client secret, or with a token that another issuer signs.
 *
 * @module
 */

import * as v from 'valibot'
import { absolutePath } from '../../../remote/login_fields.ts'
import { fingerprintOf, readSecretFile, readSecretLine } from '../../../remote/secret_file.ts'
import type { LoginMethod } from '../../../remote/token_source.ts'
import { assertionForm, type EntraDeps, requestToken } from './entra.ts'

export const applicationFields = {
  tenantId: v.pipe(
    v.string(),
    v.regex(/^[\w.-]+$/, 'a UUID, or the domain of the tenant'),
    v.description('Id or domain of the tenant that the vault belongs to'),
  ),
  clientId: v.pipe(
    v.string(),
    v.regex(/^[\w-]+$/, 'the client id, a UUID'),
    v.description('Application (client) id, not the object id'),
  ),
}

export const clientSecretConfig = v.strictObject({
  method: v.literal('clientSecret'),
  ...applicationFields,
  secretFile: v.pipe(absolutePath, v.description('File with the client secret')),
})
export type ClientSecretConfig = v.InferOutput<typeof clientSecretConfig>

export const workloadIdentityConfig = v.strictObject({
  method: v.literal('workloadIdentity'),
  ...applicationFields,
  tokenFile: v.optional(
    v.pipe(absolutePath, v.description('Token that somebody else renews; read at every login')),
    '/var/run/secrets/azure/tokens/azure-identity-token',
  ),
})
export type WorkloadIdentityConfig = v.InferOutput<typeof workloadIdentityConfig>

/** @param given the secret itself, where it is not in a file of its own */
export function createClientSecretLogin(
  config: Omit<ClientSecretConfig, 'method'>,
  deps: EntraDeps,
  given?: string,
): LoginMethod {
  const { tenantId, clientId, secretFile } = config
  return {
    name: 'clientSecret',
    async prepare() {
      const secret = given ?? (await readSecretLine(secretFile, 'login.secretFile'))
      return {
        fingerprint: fingerprintOf(tenantId, clientId, secret),
        login: (call) => requestToken(deps, config, { client_secret: secret }, call),
      }
    },
  }
}

export function createWorkloadIdentityLogin(
  config: WorkloadIdentityConfig,
  deps: EntraDeps,
): LoginMethod {
  const { tenantId, clientId, tokenFile } = config
  return {
    name: 'workloadIdentity',
    async prepare() {
      const jwt = await readSecretFile(tokenFile, 'login.tokenFile')
      return {
        fingerprint: fingerprintOf(tenantId, clientId, jwt),
        login: (call) => requestToken(deps, config, assertionForm(jwt), call),
      }
    },
  }
}
