/**
 * Login with a JWT: one that somebody else puts into a file, or one that this node
 * signs itself with a key of its own, which works while every API server is down.
 *
 * @module
 */

import * as v from 'valibot'
import { assertionConfig, readAssertionKey, signAssertion } from './assertion.ts'
import { absolutePath, loginFields, roleName, vaultPath } from './login_fields.ts'
import { fingerprintOf, readSecretFile } from './secret_file.ts'
import type { LoginMethod, PreparedLogin } from './token_source.ts'
import type { VaultApi } from './vault_api.ts'
import { logIn, renewSelf } from './vault_login.ts'

export const jwtConfig = v.pipe(
  v.strictObject({
    method: v.literal('jwt'),
    mount: v.optional(vaultPath, 'jwt'),
    role: v.optional(v.pipe(roleName, v.description("The mount's default role where absent"))),
    tokenFile: v.optional(
      v.pipe(absolutePath, v.description('File with a JWT that somebody else renews')),
    ),
    selfSigned: v.optional(
      v.pipe(assertionConfig, v.description('Signs JWTs with a private key of this node')),
    ),
    ...loginFields,
  }),
  v.check(
    ({ tokenFile, selfSigned }) => (tokenFile === undefined) !== (selfSigned === undefined),
    'exactly one of tokenFile and selfSigned',
  ),
)
export type JwtConfig = v.InferOutput<typeof jwtConfig>

/** @param now milliseconds since the epoch */
export function createJwtLogin(config: JwtConfig, api: VaultApi, now: () => number): LoginMethod {
  return {
    name: 'jwt',
    prepare: () => prepare(config, api, now),
    renew: (token, call) => renewSelf(api, token, call),
  }
}

async function prepare(
  { mount, role, tokenFile, selfSigned }: JwtConfig,
  api: VaultApi,
  now: () => number,
): Promise<PreparedLogin> {
  const path = `auth/${mount}/login`
  const named = role === undefined ? {} : { role }
  if (selfSigned === undefined) {
    const jwt = await readSecretFile(tokenFile ?? '', 'auth.tokenFile')
    return {
      fingerprint: fingerprintOf(role ?? '', jwt),
      login: (call) => logIn(api, { path, body: { ...named, jwt } }, call),
    }
  }
  const key = await readAssertionKey(selfSigned.keyFile)
  return {
    // The key and not the JWT, which is another one every time.
    fingerprint: fingerprintOf(role ?? '', key.fingerprint, JSON.stringify(selfSigned)),
    async login(call) {
      const jwt = await signAssertion(key, selfSigned, now())
      return await logIn(api, { path, body: { ...named, jwt } }, call)
    },
  }
}
