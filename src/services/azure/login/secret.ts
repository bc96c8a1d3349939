/**
 * Login as an application with a client secret, or with a token that another issuer signs.
 *
 * @module
 */

import * as v from 'valibot'
import { absolutePath } from '../../../remote/login_fields.ts'
import { fingerprintOf, readSecretFile, readSecretLine } from '../../../remote/secret_file.ts'
import type { LoginMethod } from '../../../remote/token_source.ts'
import { type Application, assertionForm, type EntraDeps, requestToken } from './entra.ts'

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
type ClientSecretConfig = v.InferOutput<typeof clientSecretConfig>

export const workloadIdentityConfig = v.strictObject({
  method: v.literal('workloadIdentity'),
  ...applicationFields,
  tokenFile: v.optional(
    v.pipe(absolutePath, v.description('Token that somebody else renews; read at every login')),
    '/var/run/secrets/azure/tokens/azure-identity-token',
  ),
})
type WorkloadIdentityConfig = v.InferOutput<typeof workloadIdentityConfig>

/** @param given the secret itself, where it is not in a file of its own */
export function createClientSecretLogin(
  config: Omit<ClientSecretConfig, 'method'>,
  deps: EntraDeps,
  given?: string,
): LoginMethod {
  return readLogin('clientSecret', config, deps, async () => {
    const secret = given ?? (await readSecretLine(config.secretFile, 'login.secretFile'))
    return { secret, form: { client_secret: secret } }
  })
}

export function createWorkloadIdentityLogin(
  config: WorkloadIdentityConfig,
  deps: EntraDeps,
): LoginMethod {
  return readLogin('workloadIdentity', config, deps, async () => {
    const secret = await readSecretFile(config.tokenFile, 'login.tokenFile')
    return { secret, form: assertionForm(secret) }
  })
}

/** A login whose secret is read again each time. */
function readLogin(
  name: string,
  application: Application,
  deps: EntraDeps,
  read: () => Promise<{ readonly secret: string; readonly form: Readonly<Record<string, string>> }>,
): LoginMethod {
  return {
    name,
    async prepare() {
      const { secret, form } = await read()
      return {
        fingerprint: fingerprintOf(application.tenantId, application.clientId, secret),
        login: (call) => requestToken(deps, application, form, call),
      }
    },
  }
}
