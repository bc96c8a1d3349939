/**
 * Login by AppRole: a role id and a secret id from files. The secret id is plain or wrapped; a role
 * that needs none has none.
 *
 * @module
 */

import * as v from 'valibot'
import type { Call } from '../../../base/provider.ts'
import { absolutePath, loginFields, roleName, vaultPath } from '../../../remote/login_fields.ts'
import { fingerprintOf, readSecretFile } from '../../../remote/secret_file.ts'
import type { LoginMethod } from '../../../remote/token_source.ts'
import type { VaultApi } from '../api.ts'
import { careFor, logIn } from './login.ts'
import { loginRestrictions } from './lookup.ts'
import { secretIdRestrictions } from './secret_id.ts'
import { unwrapSecretId } from './wrapping.ts'

export const approleConfig = v.pipe(
  v.strictObject({
    method: v.literal('approle'),
    mount: v.optional(vaultPath, 'approle'),
    roleId: v.optional(v.pipe(v.string(), v.nonEmpty())),
    roleIdFile: v.optional(absolutePath),
    secretIdFile: v.optional(
      v.pipe(
        absolutePath,
        v.description('File with the secret id; absent for a role with bind_secret_id=false'),
      ),
    ),
    wrappedRole: v.optional(
      v.pipe(
        roleName,
        v.description(
          'Name of the role, where secretIdFile holds a wrapping token for its secret id',
        ),
      ),
    ),
    ...loginFields,
  }),
  v.check(
    ({ roleId, roleIdFile }) => (roleId === undefined) !== (roleIdFile === undefined),
    'exactly one of roleId and roleIdFile',
  ),
  v.check(
    ({ secretIdFile, wrappedRole }) => secretIdFile !== undefined || wrappedRole === undefined,
    'secretIdFile, which holds the wrapping token of wrappedRole',
  ),
)
type ApproleConfig = v.InferOutput<typeof approleConfig>

export function createApproleLogin(config: ApproleConfig, api: VaultApi): LoginMethod {
  const secretIds = new SecretIds(config, api)
  const care = careFor(api)
  /** The secret id of the last login, which is looked up once after it. */
  let used: string | undefined
  return {
    ...care,
    name: 'approle',
    async prepare() {
      const { mount, roleIdFile, secretIdFile } = config
      const role_id =
        roleIdFile === undefined
          ? (config.roleId ?? '')
          : await readSecretFile(roleIdFile, 'auth.roleIdFile')
      const inFile =
        secretIdFile === undefined
          ? undefined
          : await readSecretFile(secretIdFile, 'auth.secretIdFile')
      return {
        fingerprint: fingerprintOf(role_id, inFile ?? ''),
        async login(call) {
          const secretId = inFile === undefined ? undefined : await secretIds.of(inFile, call)
          const body = secretId === undefined ? { role_id } : { role_id, secret_id: secretId }
          const token = await logIn(api, { path: `auth/${mount}/login`, body }, call)
          used = secretId
          return token
        },
      }
    },
    restrictions(token, call) {
      const secretId = used
      used = undefined
      const { mount } = config
      if (secretId === undefined) return loginRestrictions(api, token, call)
      return loginRestrictions(api, token, call, ({ meta: { role_name } }) =>
        secretIdRestrictions(api, { token, mount, role: role_name, secretId }, call),
      )
    },
  }
}

/** A wrapping token works only once, so the secret id that it gave is kept for later logins. */
class SecretIds {
  readonly #config: ApproleConfig
  readonly #api: VaultApi
  #unwrapped: { readonly fingerprint: string; readonly secretId: string } | undefined

  constructor(config: ApproleConfig, api: VaultApi) {
    this.#config = config
    this.#api = api
  }

  async of(inFile: string, call: Call): Promise<string> {
    const { mount, wrappedRole } = this.#config
    if (wrappedRole === undefined) return inFile
    const fingerprint = fingerprintOf(inFile)
    if (this.#unwrapped?.fingerprint !== fingerprint) {
      const creationPath = `auth/${mount}/role/${wrappedRole}/secret-id`
      const secretId = await unwrapSecretId(this.#api, { token: inFile, creationPath }, call)
      this.#unwrapped = { fingerprint, secretId }
    }
    return this.#unwrapped.secretId
  }
}
