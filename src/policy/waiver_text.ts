/**
 * A waiver: a JWT, signed by a key that is kept offline, which lifts rules on one node until it
 * ends. It holds on no other machine, whatever name that has.
 *
 * @module
 */

import { createPublicKey, type KeyObject, randomUUID } from 'node:crypto'
import * as v from 'valibot'
import { systemReasonOf } from '../base/errors.ts'
import { readSmallFile } from '../base/small_file.ts'

export interface Waiver {
  readonly id: string
  /** Names of the rules that it lifts; `*` for all. */
  readonly rules: readonly string[]
  /** Who gave it, and why. */
  readonly who: string
  readonly why: string
  /** Milliseconds since the epoch. */
  readonly until: number
}

/** Whom it is for: both must be as they are here. */
interface WaivedNode {
  readonly node: string
  /** `node.machine`, the digest of the machine's id. */
  readonly machine: string
}

interface WaiverRules extends WaivedNode {
  readonly maxLifetimeMs: number
  readonly revoked: readonly string[]
}

/** Why a waiver does not hold, in words that follow `The waiver`. */
export class WaiverRefusal extends Error {
  override readonly name = 'WaiverRefusal'
}

const AUDIENCE = 'trousseau-waiver'
const ALGORITHMS = ['ES256', 'ES384', 'EdDSA', 'RS256']
/** Clocks differ. */
const LEEWAY_S = 60
const MAX_WORDS = 256

const words = v.pipe(v.string(), v.nonEmpty(), v.maxLength(MAX_WORDS))
const claims = v.object({
  sub: words,
  machine: words,
  rules: v.pipe(v.array(words), v.minLength(1)),
  who: words,
  why: words,
  jti: words,
  iat: v.number(),
  exp: v.number(),
})

/**
 * @param keys one of which must have signed it
 * @throws WaiverRefusal
 */
export async function readWaiver(
  text: string,
  keys: readonly KeyObject[],
  { node, machine, maxLifetimeMs, revoked }: WaiverRules,
  now: number,
): Promise<Waiver> {
  const payload = await verified(text, keys, now)
  const found = v.safeParse(claims, payload)
  if (!found.success) throw new WaiverRefusal('lacks a claim that every waiver has')
  const { sub, machine: of, rules, who, why, jti: id, iat, exp } = found.output
  if (sub !== node) throw new WaiverRefusal('is for a node of another name')
  if (of !== machine) throw new WaiverRefusal('is for another machine, which had the same name')
  if ((exp - iat - LEEWAY_S) * 1_000 > maxLifetimeMs) {
    throw new WaiverRefusal('is good for longer than policy.waiver.maxLifetime allows')
  }
  if (revoked.includes(id)) throw new WaiverRefusal('is revoked')
  return { id, rules, who, why, until: exp * 1_000 }
}

async function verified(text: string, keys: readonly KeyObject[], now: number): Promise<unknown> {
  const { jwtVerify, errors } = await import('jose')
  for (const key of keys) {
    try {
      const { payload } = await jwtVerify(text, key, {
        audience: AUDIENCE,
        algorithms: ALGORITHMS,
        currentDate: new Date(now),
        requiredClaims: ['exp', 'iat'],
        maxTokenAge: Number.MAX_SAFE_INTEGER,
        clockTolerance: 0,
      })
      return payload
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw new WaiverRefusal('has ended', { cause: error })
      if (error instanceof errors.JWTClaimValidationFailed) {
        const why = `has another claim "${error.claim}" than a waiver of now has`
        throw new WaiverRefusal(why, { cause: error })
      }
      // Another key may have signed it.
    }
  }
  throw new WaiverRefusal('is not signed by a key of policy.waiver.keyFiles')
}

/** The claims of a new one, to be signed. */
export function waiverClaims(
  { node, machine }: WaivedNode,
  { rules, who, why }: Pick<Waiver, 'rules' | 'who' | 'why'>,
  lifetimeMs: number,
  now: number,
) {
  const iat = Math.floor(now / 1_000) - LEEWAY_S
  const exp = Math.floor((now + lifetimeMs) / 1_000)
  return { aud: AUDIENCE, sub: node, machine, rules, who, why, jti: randomUUID(), iat, exp }
}

/**
 * Public keys out of files with PEM or JWK.
 *
 * @throws WaiverRefusal
 */
export async function readWaiverKeys(files: readonly string[]): Promise<KeyObject[]> {
  return await Promise.all(
    files.map(async (path) => {
      const text = await readSmallFile(path).catch((cause: unknown) => {
        const why = `cannot be checked: ${path}: ${systemReasonOf(cause)}`
        throw new WaiverRefusal(why, { cause })
      })
      try {
        return publicKeyIn(text)
      } catch (cause) {
        const why = `cannot be checked: ${path} holds no public key as PEM or JWK`
        throw new WaiverRefusal(why, { cause })
      }
    }),
  )
}

const jwk = v.looseObject({ kty: v.string() })

function publicKeyIn(text: string): KeyObject {
  if (text.includes('PRIVATE KEY')) throw new Error('A private key')
  if (!text.trimStart().startsWith('{')) return createPublicKey(text)
  const key = v.parse(jwk, JSON.parse(text))
  if ('d' in key) throw new Error('A private key')
  return createPublicKey({ key, format: 'jwk' })
}
