/**
 * Login with a JWT: one that another program puts into a file, one that a SPIFFE agent issues, or
 * one that this node signs itself with a key of its own, which works while every API server is
 * down.
 *
 * @module
 */

import * as v from 'valibot'
import type { Clock } from '../../../base/clock.ts'
import type { Call } from '../../../base/provider.ts'
import { assertionConfig, assertionKeyOf, signAssertion } from '../../../remote/assertion.ts'
import { type FetchSvids, fetchSvid, svidConfig } from '../../../remote/jwt_svid.ts'
import { absolutePath, loginFields, roleName, vaultPath } from '../../../remote/login_fields.ts'
import { fingerprintOf, readSecretFile } from '../../../remote/secret_file.ts'
import type { SigningClock } from '../../../remote/signing_clock.ts'
import type { LoginMethod, PreparedLogin } from '../../../remote/token_source.ts'
import type { VaultApi } from '../api.ts'
import { careFor, logIn } from './login.ts'

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
    spiffe: v.optional(
      v.pipe(svidConfig, v.description('JWT-SVIDs that a SPIFFE agent on this node issues')),
    ),
    ...loginFields,
  }),
  v.check(
    ({ tokenFile, selfSigned, spiffe }) =>
      [tokenFile, selfSigned, spiffe].filter((each) => each !== undefined).length === 1,
    'exactly one of tokenFile, selfSigned and spiffe',
  ),
)
type JwtConfig = v.InferOutput<typeof jwtConfig>

interface JwtLoginDeps {
  readonly api: VaultApi
  readonly clock: Clock
  /** The clock for JWTs that this node signs. */
  readonly signingClock: SigningClock
  /** Required where `spiffe` is configured. */
  readonly fetchSvids?: FetchSvids | undefined
}

export function createJwtLogin(config: JwtConfig, deps: JwtLoginDeps): LoginMethod {
  return {
    name: 'jwt',
    prepare: (call) => prepare(config, deps, call),
    ...careFor(deps.api),
  }
}

async function prepare(
  { mount, role, tokenFile, selfSigned, spiffe }: JwtConfig,
  { api, clock, signingClock, fetchSvids }: JwtLoginDeps,
  call: Call,
): Promise<PreparedLogin> {
  const path = `auth/${mount}/login`
  const named = role === undefined ? {} : { role }
  const logInWith = (jwt: string, own: Call) => logIn(api, { path, body: { ...named, jwt } }, own)
  if (selfSigned !== undefined) {
    const key = await assertionKeyOf(selfSigned, clock)
    return {
      // Of the key and not of the JWT, which is a new one each time.
      fingerprint: fingerprintOf(role ?? '', key.fingerprint, JSON.stringify(selfSigned)),
      signed: true,
      login: (own) =>
        signingClock.run(async () =>
          logInWith(await signAssertion(key, selfSigned, signingClock.now(), own), own),
        ),
    }
  }
  if (spiffe !== undefined) {
    if (fetchSvids === undefined) throw new TypeError('Wanted fetchSvids for auth.spiffe')
    const { jwt, fingerprint } = await fetchSvid(spiffe, { clock, fetchSvids }, call)
    return {
      fingerprint: fingerprintOf(role ?? '', fingerprint),
      login: (own) => logInWith(jwt, own),
    }
  }
  const jwt = await readSecretFile(tokenFile ?? '', 'auth.tokenFile')
  return { fingerprint: fingerprintOf(role ?? '', jwt), login: (own) => logInWith(jwt, own) }
}
