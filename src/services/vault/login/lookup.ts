/**
 * What a token's own lookup says (`auth/token/lookup-self`, which the policy `default` allows), and
 * which of it will end the token or shut the node out.
 *
 * @module
 */

import * as v from 'valibot'
import type { Call } from '../../../base/provider.ts'
import type { Restriction } from '../../../remote/token_restriction.ts'
import type { Token } from '../../../remote/token_source.ts'
import { type VaultApi, VaultStatusError } from '../api.ts'

const seconds = v.pipe(v.number(), v.minValue(0))
export const lookupAnswer = v.object({
  data: v.object({
    ttl: seconds,
    // Absent for tokens without a lease.
    renewable: v.optional(v.boolean(), false),
    // Null for a token that never expires; a token that is about to expire also has a ttl of 0.
    expire_time: v.optional(v.nullable(v.string()), null),
    num_uses: v.optional(seconds, 0),
    // The rest is only reported, so a value that cannot be read is no reason to fail.
    orphan: v.fallback(v.boolean(), true),
    period: v.fallback(seconds, 0),
    explicit_max_ttl: v.fallback(seconds, 0),
    bound_cidrs: v.fallback(v.array(v.string()), []),
    path: v.fallback(v.string(), ''),
    policies: v.fallback(v.array(v.string()), []),
    meta: v.fallback(v.object({ role_name: v.string() }), { role_name: '' }),
  }),
})
export type TokenLookup = v.InferOutput<typeof lookupAnswer>['data']

/**
 * @throws KmsError; a {@link VaultStatusError} of 403 where the token may not look itself up, or
 * has ended
 */
export async function lookupSelf(
  api: VaultApi,
  token: string | undefined,
  call: Call,
): Promise<TokenLookup> {
  const path = 'auth/token/lookup-self'
  const reply = await api.request({ method: 'GET', path, token, schema: lookupAnswer }, call)
  return reply.body.data
}

/**
 * For a token that a login gave: when it ends, the next login gives another.
 *
 * @param more what else can be asked once the token's owner is known
 */
export async function loginRestrictions(
  api: VaultApi,
  { value }: Token,
  call: Call,
  more: (found: TokenLookup) => Promise<readonly Restriction[]> = () => Promise.resolve([]),
): Promise<readonly Restriction[]> {
  let found: TokenLookup
  try {
    found = await lookupSelf(api, value, call)
  } catch (error) {
    return refusesToken(error) ? [ELSEWHERE] : []
  }
  return [...boundRestrictions(found), ...(await more(found))]
}

/**
 * Whether it is the token that is refused, and not what it asked for. A refusal by policy comes as a
 * list of errors; one of the token does not, but from Vault 1.16 on, which names it in the list.
 */
export function refusesToken(error: unknown): boolean {
  if (!(error instanceof VaultStatusError) || error.foreign || error.status !== 403) return false
  return error.says('invalid token') || !error.says('occurred')
}

/** For a token that somebody else made, after which there is no other. */
export function givenRestrictions(found: TokenLookup): Restriction[] {
  return [...boundRestrictions(found), ...parentRestrictions(found), ...endRestrictions(found)]
}

const ELSEWHERE: Restriction = {
  id: 'elsewhere',
  level: 'warn',
  message:
    'The token of a login that worked is refused at once: token_bound_cidrs of its role or secret id leaves the address of this node out, or the token was revoked',
}

function boundRestrictions({ bound_cidrs }: TokenLookup): Restriction[] {
  if (bound_cidrs.length === 0) return []
  const message =
    'The token is good only from the addresses of token_bound_cidrs: a node that gets another address is shut out'
  return [{ id: 'bound', level: 'info', message }]
}

function parentRestrictions({ orphan }: TokenLookup): Restriction[] {
  if (orphan) return []
  const message =
    'The token ends with the one that made it: make it with -orphan, or auth/token/create-orphan'
  return [{ id: 'parent', level: 'warn', message }]
}

/** A program that logged in for a token, such as an agent, writes a new one when it ends. */
function endRestrictions(found: TokenLookup): Restriction[] {
  const { period, explicit_max_ttl: longest, expire_time, path } = found
  const byHand = path.startsWith('auth/token/')
  if (expire_time !== null && byHand && (period === 0 || longest > 0)) {
    const message = `The token ends for good ${endOf(found)}, and nobody logs in anew: make one with -period, or let an agent write the file`
    return [{ id: 'ends', level: 'warn', message }]
  }
  if (period === 0) return []
  const message = `The token dies where it is not renewed for ${spelled(period)}, such as on a node that is off`
  return [{ id: 'period', level: 'info', message }]
}

function endOf({ renewable, ttl, explicit_max_ttl: longest }: TokenLookup): string {
  if (!renewable) return `in ${spelled(ttl)}`
  if (longest > 0) return `${spelled(longest)} after it was made, however often it is renewed`
  return 'after the longest life that the service allows, however often it is renewed'
}

function spelled(all: number): string {
  const [size, unit] = all >= 7_200 ? [3_600, 'h'] : all >= 120 ? [60, 'min'] : [1, 's']
  return `${Math.round(all / size)} ${unit}`
}
