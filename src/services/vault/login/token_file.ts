/** A token from a file, which an operator or an agent's sink wrote. @module */

import * as v from 'valibot'
import { KmsError } from '../../../base/errors.ts'
import type { EventSink } from '../../../base/events.ts'
import type { Call } from '../../../base/provider.ts'
import { absolutePath, loginFields } from '../../../remote/login_fields.ts'
import { fingerprintOf, readSecretFile } from '../../../remote/secret_file.ts'
import type { Restriction } from '../../../remote/token_restriction.ts'
import type { LoginMethod, Token } from '../../../remote/token_source.ts'
import { type VaultApi, VaultStatusError } from '../api.ts'
import { renewSelf } from './login.ts'
import { givenRestrictions, lookupSelf, type TokenLookup } from './lookup.ts'
import { isWrappingToken } from './wrapping.ts'

export const tokenFileConfig = v.strictObject({
  method: v.literal('token'),
  tokenFile: absolutePath,
  ...loginFields,
})
type TokenFileConfig = v.InferOutput<typeof tokenFileConfig>

export function createTokenFileLogin(
  config: TokenFileConfig,
  api: VaultApi,
  events: EventSink,
): LoginMethod {
  let restrictions: readonly Restriction[] = []
  return {
    name: 'token',
    async prepare() {
      const value = await readSecretFile(config.tokenFile, 'auth.tokenFile')
      return {
        fingerprint: fingerprintOf(value),
        async login(call) {
          restrictions = []
          if (await isWrappingToken(api, value, call)) throw wrapping(config.tokenFile)
          const found = await looked(api, value, events, call)
          if (found === undefined) return { value, ttlSeconds: 0, renewable: false }
          if (found.num_uses > 0) throw fewUses(config.tokenFile, found.num_uses)
          restrictions = givenRestrictions(found)
          return tokenOf(value, found)
        },
      }
    },
    // The token is not revoked, since whoever wrote the file may use it elsewhere.
    renew: (token, call) => renewSelf(api, token, call),
    restrictions: () => Promise.resolve(restrictions),
  }
}

function tokenOf(value: string, { ttl, renewable, expire_time }: TokenLookup): Token {
  return { value, ttlSeconds: expire_time === null ? ttl : Math.max(ttl, 1), renewable }
}

/** The lookup of the token; a token that may not look itself up is used all the same. */
async function looked(api: VaultApi, value: string, events: EventSink, call: Call) {
  try {
    return await lookupSelf(api, value, call)
  } catch (error) {
    if (!(error instanceof VaultStatusError) || error.foreign || error.status !== 403) throw error
    const message =
      'Token may not look itself up, or is dead: its life is unknown, and it is not renewed'
    events.emit({ type: 'notice', level: 'warn', what: 'token_life_unknown', message })
    return undefined
  }
}

function wrapping(file: string): KmsError {
  return new KmsError(
    `File "${file}" of auth.tokenFile holds a wrapping token, which only gives out what it wraps, once: unwrap it (vault unwrap), and put the token that comes out into the file`,
    { code: 'denied' },
  )
}

function fewUses(file: string, left: number): KmsError {
  return new KmsError(
    `Token in "${file}" of auth.tokenFile is for ${left} more uses: make one without -use-limit, or with token_num_uses=0 in the role that gives it`,
    { code: 'denied' },
  )
}
