/** Login by AppRole: a role id and a secret id from files. @module */

import * as v from 'valibot'
import { fingerprintOf, readSecretFile } from './secret_file.ts'
import type { LoginMethod } from './token_source.ts'
import type { VaultApi } from './vault_api.ts'
import { logIn, renewSelf, vaultPath } from './vault_login.ts'

const absolute = v.pipe(v.string(), v.startsWith('/'))

export const approleConfig = v.pipe(
  v.strictObject({
    method: v.literal('approle'),
    mount: v.optional(vaultPath, 'approle'),
    roleId: v.optional(v.pipe(v.string(), v.nonEmpty())),
    roleIdFile: v.optional(absolute),
    secretIdFile: absolute,
  }),
  v.check(
    ({ roleId, roleIdFile }) => (roleId === undefined) !== (roleIdFile === undefined),
    'exactly one of roleId and roleIdFile',
  ),
)
export type ApproleConfig = v.InferOutput<typeof approleConfig>

export function createApproleLogin(config: ApproleConfig, api: VaultApi): LoginMethod {
  return {
    name: 'approle',
    async prepare() {
      const { roleIdFile } = config
      const role_id =
        roleIdFile === undefined
          ? (config.roleId ?? '')
          : await readSecretFile(roleIdFile, 'auth.roleIdFile')
      const secret_id = await readSecretFile(config.secretIdFile, 'auth.secretIdFile')
      return {
        fingerprint: fingerprintOf(role_id, secret_id),
        login: (call) => logIn(api, { mount: config.mount, body: { role_id, secret_id } }, call),
      }
    },
    renew: (token, call) => renewSelf(api, token, call),
  }
}
