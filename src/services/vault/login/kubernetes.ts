/**
 * Login with the token of a ServiceAccount. The service asks an API server to review the token, so
 * this cannot work while that API server waits for this plugin.
 *
 * @module
 */

import * as v from 'valibot'
import { absolutePath, loginFields, roleName, vaultPath } from '../../../remote/login_fields.ts'
import { fingerprintOf, readSecretFile } from '../../../remote/secret_file.ts'
import type { LoginMethod } from '../../../remote/token_source.ts'
import type { VaultApi } from '../api.ts'
import { postedLogin } from './login.ts'

const TOKEN_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/token'

export const kubernetesConfig = v.strictObject({
  method: v.literal('kubernetes'),
  mount: v.optional(vaultPath, 'kubernetes'),
  role: roleName,
  tokenFile: v.optional(
    v.pipe(absolutePath, v.description('Token of the ServiceAccount; may be a projected volume')),
    TOKEN_FILE,
  ),
  ...loginFields,
})
type KubernetesConfig = v.InferOutput<typeof kubernetesConfig>

export function createKubernetesLogin(
  { mount, role, tokenFile }: KubernetesConfig,
  api: VaultApi,
): LoginMethod {
  return postedLogin('kubernetes', api, async () => {
    const jwt = await readSecretFile(tokenFile, 'auth.tokenFile')
    const fingerprint = fingerprintOf(role, jwt)
    return { fingerprint, path: `auth/${mount}/login`, body: { role, jwt } }
  })
}
