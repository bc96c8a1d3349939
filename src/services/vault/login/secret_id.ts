/**
 * What the service knows of the secret id of an AppRole login. Whoever asks must have
 * the secret id itself, so the policy may allow it for any role.
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
  // Absent for one that the role does not know.
  data: v.optional(
    v.object({
      /** What is left of them; 0 for as many as one likes. */
      secret_id_num_uses: v.pipe(v.number(), v.minValue(0)),
      /** In the year 1 for one that does not end. */
      expiration_time: v.pipe(v.string(), v.isoTimestamp()),
    }),
  ),
})
type SecretIdFacts = v.InferOutput<typeof secretIdAnswer>['data']

interface SecretIdUse {
  readonly token: Token
  /** Of the login method. */
  readonly mount: string
  /** As the service calls it. */
  readonly role: string
  readonly secretId: string
}

/** Right after a login with it; nothing where the policy does not let it be seen. */
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

/** @param facts undefined for one that is used up */
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
