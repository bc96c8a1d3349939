/**
 * What the service knows of the secret id of an AppRole login. Only somebody who has the secret id
 * can ask, so the policy may allow it for any role.
 *
 * @module
 */

import * as v from 'valibot'
import type { Call } from '../../../base/provider.ts'
import { roleName } from '../../../remote/login_fields.ts'
import type { Restriction } from '../../../remote/token_restriction.ts'
import type { Token } from '../../../remote/token_source.ts'
import type { VaultApi } from '../api.ts'

export const secretIdAnswer = v.object({
  // Absent for a secret id that the role does not know.
  data: v.optional(
    v.object({
      /** How many uses are left; 0 means that there is no limit. */
      secret_id_num_uses: v.pipe(v.number(), v.minValue(0)),
      /** A date in the year 1 means that it does not expire. */
      expiration_time: v.pipe(v.string(), v.isoTimestamp()),
    }),
  ),
})
type SecretIdFacts = v.InferOutput<typeof secretIdAnswer>['data']

interface SecretIdUse {
  readonly token: Token
  /** The mount of the login method. */
  readonly mount: string
  /** The service's name for the role. */
  readonly role: string
  readonly secretId: string
}

/**
 * Asked right after a login with the secret id; returns nothing where the policy does not allow it.
 */
export async function secretIdRestrictions(
  api: VaultApi,
  { token, mount, role, secretId }: SecretIdUse,
  call: Call,
): Promise<Restriction[]> {
  if (!v.is(roleName, role)) return []
  const path = `auth/${mount}/role/${role}/secret-id/lookup`
  const request = { method: 'POST', path, token: token.value, schema: secretIdAnswer } as const
  const body = { secret_id: secretId }
  try {
    const reply = await api.request({ ...request, body, accept: [200, 204] }, call)
    return secretIdLimits(reply.body.data)
  } catch {
    return []
  }
}

/** @param facts undefined for a secret id that is used up */
export function secretIdLimits(facts: SecretIdFacts): Restriction[] {
  const { secret_id_num_uses: uses = 0, expiration_time = '' } = facts ?? {}
  const endsAt = Date.parse(expiration_time)
  const limits: Restriction[] = []
  if (facts === undefined || uses > 0) {
    const left = facts === undefined ? 'no more logins' : `${uses} more logins`
    const message = `The secret id is good for ${left}, and every restart takes one: make one with secret_id_num_uses=0 in the role`
    limits.push({ id: 'secret-id-uses', level: 'warn', message })
  }
  if (endsAt > 0) {
    const message = `The secret id ends at ${new Date(endsAt).toISOString()}, and no login works after that: put a new one into the file before`
    limits.push({ id: 'secret-id-ends', level: 'warn', message })
  }
  return limits
}
