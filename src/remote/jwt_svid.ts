/**
 * JWT-SVIDs: JWTs that a SPIFFE agent on this node, such as SPIRE's, issues to this process. Who
 * speaks to the agent comes in from outside; what it issues is looked at here, since the key
 * service does not say why it refuses one.
 *
 * @module
 */

import { decodeJwt, decodeProtectedHeader } from 'jose'
import * as v from 'valibot'
import type { Clock } from '../base/clock.ts'
import { KmsError, type KmsErrorCode } from '../base/errors.ts'
import type { Call } from '../base/provider.ts'
import { fingerprintOf } from './secret_file.ts'

const MAX_ID_BYTES = 2_048
const MAX_SOCKET_BYTES = 107

export const svidConfig = v.strictObject({
  socket: v.pipe(
    v.string(),
    v.regex(
      /^unix:(?:\/\/)?\/[^\s/?#%][^\s?#%]*$/,
      'unix:///path, the socket of the SPIFFE Workload API',
    ),
    v.check(
      (uri) => new TextEncoder().encode(socketPathOf(uri)).length <= MAX_SOCKET_BYTES,
      `a path of at most ${MAX_SOCKET_BYTES} bytes`,
    ),
    v.description('unix:///path of the SPIFFE Workload API, as the agent on this node serves it'),
  ),
  audience: v.pipe(
    v.string(),
    v.nonEmpty(),
    v.description('Claim aud: bound_audiences of the role'),
  ),
  id: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^spiffe:\/\/[a-z0-9._-]+(?:\/[\w.-]+)+$/, 'spiffe://trust-domain/path'),
      v.maxLength(MAX_ID_BYTES),
      v.description(
        'SPIFFE ID to log in with, where the agent issues several; the first one where absent',
      ),
    ),
  ),
})
export type SvidConfig = v.InferOutput<typeof svidConfig>

interface SvidRequest {
  readonly socketPath: string
  readonly audience: string
  /** Undefined for all identities. */
  readonly id: string | undefined
}

export interface IssuedSvid {
  /** The SPIFFE ID that it is said to be for. */
  readonly id: string
  readonly jwt: string
}

/**
 * Asks the agent once. The first SVID is that of the default identity.
 *
 * @throws KmsError that says what is wrong with the agent
 */
export type FetchSvids = (
  request: SvidRequest,
  limits: { readonly timeoutMs: number; readonly signal: AbortSignal },
) => Promise<readonly IssuedSvid[]>

interface SvidDeps {
  readonly clock: Clock
  readonly fetchSvids: FetchSvids
}

interface Svid {
  readonly jwt: string
  /** Of what it says, and not of when it was issued. */
  readonly fingerprint: string
}

/** As for secrets in files. */
const MAX_CHARACTERS = 65_536
/** The rest of the time is the key service's. */
const AGENT_PART = 0.5

/** Claims that are other ones in each. */
const OF_ISSUING = new Set(['exp', 'iat', 'nbf', 'jti'])

const headerOfSvid = v.looseObject({ kid: v.optional(v.string()) })
const claimsOfSvid = v.looseObject({
  sub: v.pipe(v.string(), v.nonEmpty()),
  aud: v.union([v.string(), v.array(v.string())]),
  exp: v.number(),
})
type Claims = v.InferOutput<typeof claimsOfSvid>

/** The path of a socket as the config names it. */
export function socketPathOf(uri: string): string {
  return uri.replace(/^unix:(?:\/\/)?/, '')
}

/**
 * An SVID as the agent has it now.
 *
 * @throws KmsError `denied` where none is issued that could log in, `protocol` where the agent
 * issues what is none, and what {@link FetchSvids} throws
 */
export async function fetchSvid(
  { socket, audience, id }: SvidConfig,
  { clock, fetchSvids }: SvidDeps,
  { signal, deadline }: Call,
): Promise<Svid> {
  const socketPath = socketPathOf(socket)
  const timeoutMs = Math.max(1, Math.floor((deadline - clock.monotonic()) * AGENT_PART))
  const issued = await fetchSvids({ socketPath, audience, id }, { timeoutMs, signal })
  const chosen = id === undefined ? issued[0] : issued.find((each) => each.id === id)
  if (chosen === undefined) throw noneIssued(socketPath, issued.length)
  const refuse = (code: KmsErrorCode, why: string, cause?: unknown) =>
    new KmsError(`SPIFFE agent at "${socketPath}" issued a JWT-SVID ${why}`, { code, cause })
  const { claims, keyId } = read(chosen.jwt, refuse)
  const audiences = [claims.aud].flat()
  if (!audiences.includes(audience)) {
    throw refuse(
      'protocol',
      'for another audience than auth.spiffe.audience, which it was asked for',
    )
  }
  if (claims.sub !== chosen.id) throw refuse('protocol', 'whose sub is another identity')
  if (claims.exp * 1000 <= clock.now()) {
    throw refuse(
      'denied',
      'that has expired: compare the clocks of this node and the SPIFFE server',
    )
  }
  return { jwt: chosen.jwt, fingerprint: fingerprintOfClaims(claims, keyId) }
}

function read(
  jwt: string,
  refuse: (code: KmsErrorCode, why: string, cause?: unknown) => KmsError,
): { readonly claims: Claims; readonly keyId: string } {
  if (jwt.length > MAX_CHARACTERS) throw refuse('protocol', 'that is too long')
  if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(jwt)) throw refuse('protocol', 'that is no signed JWT')
  try {
    const { kid = '' } = v.parse(headerOfSvid, decodeProtectedHeader(jwt))
    const claims = v.safeParse(claimsOfSvid, decodeJwt(jwt))
    if (claims.success) return { claims: claims.output, keyId: kid }
  } catch (cause) {
    throw refuse('protocol', 'that is no signed JWT', cause)
  }
  throw refuse('protocol', 'without one of the claims sub, aud and exp')
}

/** An agent may issue another one every time: what the key service judges by stays the same. */
function fingerprintOfClaims(claims: Claims, keyId: string): string {
  const lasting = Object.entries(claims).filter(([name]) => !OF_ISSUING.has(name))
  return fingerprintOf(keyId, JSON.stringify(lasting))
}

function noneIssued(socketPath: string, others: number): KmsError {
  const what = others === 0 ? 'no identity to this process' : 'only others than auth.spiffe.id'
  return new KmsError(
    `SPIFFE agent at "${socketPath}" issues ${what}: register one whose selectors fit it`,
    { code: 'denied' },
  )
}
