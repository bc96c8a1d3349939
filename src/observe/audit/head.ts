/**
 * The head that ends a part: how many records there are, and a signature over that and the hash of
 * the line before, and so over the whole chain up to there.
 *
 * @module
 */

import { unlessAborted } from '../../base/call.ts'
import { type KmsError, toKmsError } from '../../base/errors.ts'
import { AUDIT_FORMAT, fieldsOf, type HeadReason } from './lines.ts'

/** What is signed: all of the line but the signature. */
type HeadClaims = Readonly<Record<string, string | number>>

interface HeadKey {
  /** Fingerprint of the public half. */
  readonly key: string
  /** A JWS in its compact form, of the type {@link HEAD_TYPE} and of exactly these claims. */
  sign(claims: HeadClaims, signal: AbortSignal): Promise<string>
}

/** @throws KmsError where the key cannot be used now */
export type HeadSigner = (signal: AbortSignal) => Promise<HeadKey>

/**
 * `typ` of the signature. The same key may sign logins, whose type is `JWT`. A head has none of the
 * claims that a login must have (`iss`, `sub`, `aud`, `exp`, `nbf`, `iat`), and a login none of those
 * that a head must have.
 */
export const HEAD_TYPE = 'trousseau-audit+jws'
const NO_KEY = 'no_key'

interface Head {
  readonly ends: { readonly seq: number; readonly prev: string | null }
  /** Milliseconds since the epoch. */
  readonly time: number
  readonly why: HeadReason
  readonly node: string
  readonly run: string
  readonly records: number
  readonly lost: number | undefined
}

/** The fields of its line, and why it is not signed where it should be. */
export async function headOf(
  { ends, time, why, node, run, records, lost }: Head,
  signer: HeadSigner | undefined,
  signal: AbortSignal,
): Promise<{ readonly fields: string; readonly error?: KmsError }> {
  const about = {
    time: new Date(time).toISOString(),
    event: 'head',
    format: AUDIT_FORMAT,
    why,
    node,
    run,
    records,
    ...(lost === undefined ? {} : { lost }),
  }
  if (signer === undefined) return { fields: fieldsOf({ ...about, unsigned: NO_KEY }) }
  try {
    // A TPM may never answer.
    const { key, sign } = await unlessAborted(signer(signal), signal)
    const { seq, prev } = ends
    const claims = { seq, ...about, key, prev: prev ?? '' }
    const signature = await unlessAborted(sign(claims, signal), signal)
    return { fields: fieldsOf({ ...about, key, signature }) }
  } catch (thrown) {
    const error = toKmsError(thrown)
    return { fields: fieldsOf({ ...about, unsigned: error.code }), error }
  }
}
