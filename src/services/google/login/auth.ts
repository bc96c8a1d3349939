/** All logins to Google Cloud by their method, and the accounts that they may act as. @module */

import * as v from 'valibot'
import { type ByMethod, byMethod } from '../../../base/by_method.ts'
import type { LoginMethod } from '../../../remote/token_source.ts'
import { httpOrigin } from '../../http_fields.ts'
import { federationConfig, federationSource } from './federation.ts'
import { IAM_ENDPOINT, impersonated, impersonationConfig } from './impersonation.ts'
import { keyConfig, keySource } from './key.ts'
import { metadataConfig, metadataSource } from './metadata.ts'
import { type GoogleDeps, type GoogleSource, USES } from './source.ts'

const common = {
  impersonate: v.optional(
    v.pipe(impersonationConfig, v.description('Acts as another service account')),
  ),
  iamEndpoint: v.optional(
    v.pipe(
      httpOrigin,
      v.description('Where impersonation is asked for, instead of iamcredentials.googleapis.com'),
    ),
  ),
}

export const googleAuth = v.variant('method', [
  v.strictObject({ ...metadataConfig, ...common }),
  v.strictObject({ ...keyConfig, ...common }),
  v.strictObject({
    ...federationConfig,
    ...common,
    stsEndpoint: v.optional(
      v.pipe(
        httpOrigin,
        v.description('Where tokens are exchanged, instead of what credentialsFile says'),
      ),
    ),
  }),
])
export type GoogleAuth = v.InferOutput<typeof googleAuth>

const SOURCES: ByMethod<GoogleAuth, GoogleDeps, GoogleSource> = {
  metadata: metadataSource,
  key: keySource,
  federation: federationSource,
}

/** Makes the login for Cloud KMS. */
export function createGoogleLogin(auth: GoogleAuth, deps: GoogleDeps): LoginMethod {
  const source = byMethod(SOURCES, auth, deps)
  const { impersonate, iamEndpoint: endpoint = IAM_ENDPOINT } = auth
  return {
    name: auth.method,
    async prepare() {
      const own = await source.prepare()
      const used =
        impersonate === undefined ? own : impersonated(own, { ...impersonate, endpoint }, deps)
      return {
        fingerprint: used.fingerprint,
        signed: auth.method === 'key',
        login: (call) => used.token(USES.cloudKms, call),
      }
    },
    renew: (token) => Promise.resolve(token),
  }
}
