/**
 * `trousseau policy waiver`: a waiver for one node, signed with a key that is kept offline. Nothing
 * of the node is needed but its name and its machine's digest.
 *
 * @module
 */

import { SignJWT } from 'jose'
import { systemClock } from '../../base/clock.ts'
import { KmsError } from '../../base/errors.ts'
import type { Io } from '../../console/io.ts'
import { EXIT, json } from '../../console/output.ts'
import { waiverClaims } from '../../policy/waiver_text.ts'
import { readAssertionKey } from '../../remote/assertion.ts'

export interface WaiverOptions {
  /** The private key. */
  readonly key: string
  readonly node: string
  readonly machine: string
  readonly rules: readonly string[]
  readonly lifetimeMs: number
  readonly who: string
  readonly why: string
  readonly json: boolean
}

/** @throws KmsError for a key that cannot be used */
export async function printWaiver(options: WaiverOptions, io: Io): Promise<number> {
  if (!/^[0-9a-f]{64}$/.test(options.machine)) {
    const message = 'Machine: wanted 64 hex digits, as "trousseau policy facts" prints node.machine'
    throw new KmsError(message, { code: 'request_invalid' })
  }
  const { key, algorithm } = await readAssertionKey(options.key)
  const claims = waiverClaims(options, options, options.lifetimeMs, systemClock.now())
  const waiver = await new SignJWT(claims)
    .setProtectedHeader({ alg: algorithm, typ: 'JWT' })
    .sign(key)
  const until = new Date(claims.exp * 1_000).toISOString()
  io.out(options.json ? json({ id: claims.jti, until, waiver }) : `${waiver}\n`)
  if (!options.json) io.err(`trousseau: waiver ${claims.jti} is good until ${until}\n`)
  return EXIT.ok
}
