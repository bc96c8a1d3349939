/** A token from a file, as an operator or an agent's sink writes it. @module */

import * as v from 'valibot'
import type { EventSink } from '../kms/events.ts'
import type { Call } from '../kms/provider.ts'
import { absolutePath, loginFields } from './login_fields.ts'
import { fingerprintOf, readSecretFile } from './secret_file.ts'
import type { LoginMethod, Token } from './token_source.ts'
import { type VaultApi, VaultStatusError } from './vault_api.ts'
import { renewSelf } from './vault_login.ts'

export const tokenFileConfig = v.strictObject({
  method: v.literal('token'),
  tokenFile: absolutePath,
  ...loginFields,
})
export type TokenFileConfig = v.InferOutput<typeof tokenFileConfig>

const lookupAnswer = v.object({
  data: v.object({
    ttl: v.pipe(v.number(), v.minValue(0)),
    // Absent for tokens without a lease.
    renewable: v.optional(v.boolean(), false),
    // Null for a token that never expires; one that is about to has a ttl of 0 too.
    expire_time: v.optional(v.nullable(v.string()), null),
  }),
})

export function createTokenFileLogin(
  config: TokenFileConfig,
  api: VaultApi,
  events: EventSink,
): LoginMethod {
  return {
    name: 'token',
    async prepare() {
      const value = await readSecretFile(config.tokenFile, 'auth.tokenFile')
      return {
        fingerprint: fingerprintOf(value),
        login: (call) => lookup(api, value, events, call),
      }
    },
    renew: (token, call) => renewSelf(api, token, call),
  }
}

/** How long the token lives; a token that may not look itself up is used all the same. */
async function lookup(api: VaultApi, value: string, events: EventSink, call: Call): Promise<Token> {
  const path = 'auth/token/lookup-self'
  try {
    const reply = await api.request(
      { method: 'GET', path, token: value, schema: lookupAnswer },
      call,
    )
    const { ttl, renewable, expire_time } = reply.body.data
    return { value, ttlSeconds: expire_time === null ? ttl : Math.max(ttl, 1), renewable }
  } catch (error) {
    if (!(error instanceof VaultStatusError) || error.status !== 403) throw error
    const message =
      'Token may not look itself up, or is dead: its life is unknown, and it is not renewed'
    events.emit({ type: 'notice', level: 'warn', what: 'token_life_unknown', message })
    return { value, ttlSeconds: 0, renewable: false }
  }
}
