/**
 * What all logins to Vault and OpenBao share: reading the answer with the token, and renewing and
 * revoking the token.
 *
 * @module
 */

import * as v from 'valibot'
import { KmsError } from '../../../base/errors.ts'
import type { Call } from '../../../base/provider.ts'
import { RefusedError } from '../../../remote/signing_clock.ts'
import type { LoginMethod, Token } from '../../../remote/token_source.ts'
import { type VaultApi, VaultStatusError } from '../api.ts'
import { isRefusedLogin } from '../node.ts'
import { loginRestrictions, refusesToken } from './lookup.ts'
import { loginReason } from './reasons.ts'

const seconds = v.pipe(v.number(), v.finite(), v.minValue(0))
const loginAnswer = v.object({
  auth: v.object({
    // Empty where a second factor is required.
    client_token: v.pipe(v.string(), v.regex(/^[\x21-\x7e]*$/)),
    lease_duration: seconds,
    renewable: v.boolean(),
    // 0 means that there is no limit.
    num_uses: v.optional(seconds, 0),
    token_type: v.optional(v.string(), 'service'),
    mfa_requirement: v.nullish(v.unknown()),
  }),
})
const renewAnswer = v.object({
  auth: v.object({ lease_duration: seconds, renewable: v.boolean() }),
})

interface LoginRequest {
  readonly path: string
  readonly body: Readonly<Record<string, string>>
}

/**
 * Posts credentials to a login path; the request carries no token.
 *
 * @throws KmsError `denied`, also for a token that may be used only a few times
 */
export async function logIn(api: VaultApi, request: LoginRequest, call: Call): Promise<Token> {
  const { auth, cached } = await loginReply(api, request, call)
  const { client_token: value, lease_duration: ttlSeconds, renewable, num_uses } = auth
  if (value === '') throw noToken(request.path, auth.mfa_requirement)
  // A batch token is stored nowhere, and cannot be revoked.
  const token = { value, ttlSeconds, renewable, ours: !cached && auth.token_type !== 'batch' }
  if (num_uses === 0) return token
  if (token.ours) await revokeSelf(api, token, call).catch(() => undefined)
  throw new KmsError(
    `Login at ${request.path} works, but its role gives tokens for ${num_uses} uses: set token_num_uses=0 there`,
    { code: 'denied' },
  )
}

async function loginReply(api: VaultApi, { path, body }: LoginRequest, call: Call) {
  try {
    const reply = await api.request({ method: 'POST', path, body, schema: loginAnswer }, call)
    return { auth: reply.body.auth, cached: reply.cached }
  } catch (error) {
    throw refusedLogin(error, path)
  }
}

/** What a login path is told, and what the credentials in it are known by. */
interface PreparedRequest extends LoginRequest {
  readonly fingerprint: string
}

/** A login whose credentials are read again each time, and posted as they are. */
export function postedLogin(
  name: string,
  api: VaultApi,
  read: () => Promise<PreparedRequest>,
): LoginMethod {
  return {
    name,
    async prepare() {
      const { fingerprint, ...request } = await read()
      return { fingerprint, login: (call) => logIn(api, request, call) }
    },
    ...careFor(api),
  }
}

/** Renews and revokes the tokens that logins give, in the same way for every method. */
export function careFor(api: VaultApi) {
  return {
    renew: (token, call) => renewSelf(api, token, call),
    revoke: (token, call) => revokeSelf(api, token, call),
    restrictions: (token, call) => loginRestrictions(api, token, call),
    refusesToken,
  } satisfies Partial<LoginMethod>
}

/**
 * Renews the token for the usual time; the service answers how long that is.
 *
 * @throws KmsError `denied` for a token that cannot be renewed any more
 */
export async function renewSelf(api: VaultApi, token: Token, call: Call): Promise<Token> {
  const path = 'auth/token/renew-self'
  const schema = renewAnswer
  try {
    const reply = await api.request(
      { method: 'POST', path, token: token.value, body: {}, schema },
      call,
    )
    const { lease_duration, renewable } = reply.body.auth
    return { ...token, ttlSeconds: lease_duration, renewable }
  } catch (error) {
    throw endOfRenewal(error)
  }
}

/** @throws KmsError `denied` where the policy does not allow it, or the token has ended */
async function revokeSelf(api: VaultApi, token: Token, call: Call): Promise<void> {
  const path = 'auth/token/revoke-self'
  const accept = [200, 204]
  const request = {
    method: 'POST',
    path,
    token: token.value,
    body: {},
    schema: v.unknown(),
  } as const
  await api.request({ ...request, accept }, call)
}

/** Past the maximum life the service answers 500, for a batch token 400. */
function endOfRenewal(error: unknown): unknown {
  if (!(error instanceof VaultStatusError) || error.foreign) return error
  if (error.status !== 400 && !error.says('max TTL')) return error
  const message =
    'Token cannot be renewed any more: its maximum life is reached, or it is of a kind that is not renewed'
  return new KmsError(message, { code: 'denied', cause: error })
}

function noToken(path: string, wanted: unknown): KmsError {
  if (wanted === undefined || wanted === null) {
    return new KmsError(`Login at ${path} was answered without a token`, { code: 'protocol' })
  }
  return new KmsError(
    `Login at ${path} wants a second factor, which no plugin has: leave this login out of the MFA enforcement`,
    { code: 'denied' },
  )
}

/**
 * Refused credentials are answered with 400, 403 or 500, a missing mount with 403 or 404, a missing
 * namespace with 404.
 */
function refusedLogin(error: unknown, path: string): unknown {
  if (!(error instanceof VaultStatusError) || error.foreign) return error
  const { status, serviceTime } = error
  const says = (phrase: string) => error.says(phrase)
  const { known, why } = loginReason(status, says)
  const message = `Login at ${path} was refused (${status}): ${why}`
  if (status === 400 || status === 403 || isRefusedLogin(status, says)) {
    return new RefusedError(message, { code: 'denied', cause: error, serviceTime })
  }
  if (status === 404) return new KmsError(message, { code: 'denied', cause: error })
  return known ? new KmsError(message, { code: error.code, cause: error }) : error
}
