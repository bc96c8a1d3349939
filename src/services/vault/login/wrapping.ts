/**
 * Secret ids that are delivered wrapped: the file holds a token that gives the secret id out once.
 * If the token is used up already, somebody else may have the secret id.
 *
 * @module
 */

import * as v from 'valibot'
import { KmsError } from '../../../base/errors.ts'
import type { Call } from '../../../base/provider.ts'
import { type VaultApi, VaultStatusError } from '../api.ts'

const lookupAnswer = v.object({ data: v.object({ creation_path: v.string() }) })
const unwrapAnswer = v.object({
  data: v.object({ secret_id: v.pipe(v.string(), v.nonEmpty()) }),
})

/**
 * The secret id behind a wrapping token.
 *
 * @param creationPath the path that must have made it, such as
 * `auth/approle/role/trousseau/secret-id`
 * @throws KmsError `denied` for a token that was made elsewhere, is used up or has expired
 */
export async function unwrapSecretId(
  api: VaultApi,
  { token, creationPath }: { readonly token: string; readonly creationPath: string },
  call: Call,
): Promise<string> {
  try {
    const lookup = await api.request(
      {
        method: 'POST',
        path: 'sys/wrapping/lookup',
        token,
        body: { token },
        schema: lookupAnswer,
      },
      call,
    )
    if (lookup.body.data.creation_path !== creationPath) throw swapped(creationPath)
    // If the token were in the body as well, the service would use it up and answer nothing.
    const unwrapped = await api.request(
      {
        method: 'POST',
        path: 'sys/wrapping/unwrap',
        token,
        schema: unwrapAnswer,
        repeatable: false,
      },
      call,
    )
    return unwrapped.body.data.secret_id
  } catch (error) {
    throw explained(error)
  }
}

/** Asked without any account, so that the one use of such a token is not spent. */
export async function isWrappingToken(api: VaultApi, token: string, call: Call): Promise<boolean> {
  const path = 'sys/wrapping/lookup'
  return await api
    .request({ method: 'POST', path, body: { token }, schema: lookupAnswer }, call)
    .then(
      () => true,
      () => false,
    )
}

function swapped(creationPath: string): KmsError {
  return new KmsError(
    `SECURITY: the wrapping token in auth.secretIdFile was not made by ${creationPath}: somebody may have put it there. Find out who, then make a new one`,
    { code: 'denied' },
  )
}

function explained(error: unknown): unknown {
  if (!(error instanceof VaultStatusError) || error.foreign) return error
  if (error.status !== 400 && error.status !== 403) return error
  return new KmsError(
    'Wrapping token in auth.secretIdFile is used up or has expired: make a new one. Where nobody of yours used it, somebody else has the secret id: destroy it',
    { code: 'denied', cause: error },
  )
}
