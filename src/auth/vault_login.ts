/**
 * What all logins to Vault and OpenBao share: the answer with the token, and
 * renewal.
 *
 * @module
 */

import * as v from 'valibot'
import { KmsError } from '../kms/errors.ts'
import type { Call } from '../kms/provider.ts'
import type { Token } from './token_source.ts'
import { type VaultApi, VaultStatusError } from './vault_api.ts'

const seconds = v.pipe(v.number(), v.minValue(0))
const loginAnswer = v.object({
  auth: v.object({
    client_token: v.pipe(v.string(), v.nonEmpty()),
    lease_duration: seconds,
    renewable: v.boolean(),
  }),
})
const renewAnswer = v.object({
  auth: v.object({ lease_duration: seconds, renewable: v.boolean() }),
})

/** Posts credentials to a login path. A login carries no token. */
export async function logIn(
  api: VaultApi,
  { path, body }: { readonly path: string; readonly body: Readonly<Record<string, string>> },
  call: Call,
): Promise<Token> {
  try {
    const reply = await api.request({ method: 'POST', path, body, schema: loginAnswer }, call)
    const { client_token, lease_duration, renewable } = reply.body.auth
    return { value: client_token, ttlSeconds: lease_duration, renewable }
  } catch (error) {
    throw refusedLogin(error, path)
  }
}

/**
 * A renewal for the usual time; the service answers how long that is.
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
    return { value: token.value, ttlSeconds: lease_duration, renewable }
  } catch (error) {
    throw endOfRenewal(error)
  }
}

/** Past the maximum life the service answers 500, for a batch token 400. */
function endOfRenewal(error: unknown): unknown {
  if (!(error instanceof VaultStatusError)) return error
  if (error.status !== 400 && !error.says('max TTL')) return error
  const message =
    'Token cannot be renewed any more: its maximum life is reached, or it is of a kind that is not renewed'
  return new KmsError(message, { code: 'denied', cause: error })
}

/** Refused credentials come as 400 or 403, a missing mount as 404. */
function refusedLogin(error: unknown, path: string): unknown {
  // Not the service but something before it spoke: that says nothing of the credentials.
  if (!(error instanceof VaultStatusError) || error.code === 'unavailable') return error
  const { status } = error
  if (status === 400 || status === 403) {
    return new KmsError(
      `Login at ${path} was refused (${status}): check the credentials, the role and what it is bound to; after five refusals the service may lock the role for 15 minutes`,
      { code: 'denied', cause: error },
    )
  }
  if (status === 404) {
    return new KmsError(`Login at ${path} found no such mount (404): check auth.mount`, {
      code: 'denied',
      cause: error,
    })
  }
  return error
}
