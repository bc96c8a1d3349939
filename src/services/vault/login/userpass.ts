/** Login with a user name and a password from a file. @module */

import * as v from 'valibot'
import { absolutePath, loginFields, vaultPath } from '../../../remote/login_fields.ts'
import { fingerprintOf, readSecretLine } from '../../../remote/secret_file.ts'
import type { LoginMethod } from '../../../remote/token_source.ts'
import type { VaultApi } from '../api.ts'
import { postedLogin } from './login.ts'

export const userpassConfig = v.strictObject({
  method: v.literal('userpass'),
  mount: v.optional(vaultPath, 'userpass'),
  username: v.pipe(
    v.string(),
    v.regex(/^[\w.@-]+$/, 'a name of letters, digits, ".", "_", "@" and "-"'),
  ),
  passwordFile: absolutePath,
  ...loginFields,
})
type UserpassConfig = v.InferOutput<typeof userpassConfig>

export function createUserpassLogin(
  { mount, username, passwordFile }: UserpassConfig,
  api: VaultApi,
): LoginMethod {
  return postedLogin('userpass', api, async () => {
    const password = await readSecretLine(passwordFile, 'auth.passwordFile')
    const fingerprint = fingerprintOf(username, password)
    return { fingerprint, path: `auth/${mount}/login/${username}`, body: { password } }
  })
}
