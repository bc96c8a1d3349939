/**
 * The public half of a key version, with all that is known from it alone: its algorithm and the
 * name that tokens call it by.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { createPublicKey, hash, type KeyObject, verify } from 'node:crypto'
import { KmsError } from '../base/errors.ts'
import { HASH_OF, type SigningAlgorithm } from '../base/signing_key.ts'

export interface VerificationKey {
  /**
   * The hash of the public key as API servers compute it for keys in files, and not that of RFC
   * 7638: so an API server that has the public key in `--service-account-key-file` takes the
   * tokens too, on the way here and on the way back (rule J14).
   */
  readonly kid: string
  readonly algorithm: SigningAlgorithm
  /** SubjectPublicKeyInfo, in DER. */
  readonly spki: Uint8Array
  readonly publicKey: KeyObject
  /** The first segment of the tokens that it signs (rule J10). */
  readonly header: string
}

const CURVES: Readonly<Record<string, SigningAlgorithm>> = {
  prime256v1: 'ES256',
  secp384r1: 'ES384',
  secp521r1: 'ES512',
}
const MIN_RSA_BITS = 2048

/**
 * @param what how messages name the key
 * @throws KmsError `key_unavailable` for one that API servers would not accept (rule J7)
 */
export function verificationKey(given: Uint8Array, what: string): VerificationKey {
  const publicKey = parsed(given, what)
  const algorithm = algorithmOf(publicKey)
  if (algorithm === undefined) {
    throw unfit(what, 'wanted ECDSA over P-256, P-384 or P-521, or RSA from 2048 bits')
  }
  // Encoded anew, as API servers do, since there is more than one way to write a key.
  const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }))
  const kid = hash('sha256', spki, 'base64url')
  const header = Buffer.from(JSON.stringify({ alg: algorithm, kid, typ: 'JWT' }))
  return { kid, algorithm, spki, publicKey, header: header.toString('base64url') }
}

/** Runs beside the event loop, since it takes milliseconds with longer keys. */
export function verifies(
  { algorithm, publicKey }: VerificationKey,
  input: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  const key = { key: publicKey, dsaEncoding: 'ieee-p1363' } as const
  return new Promise((resolve, reject) => {
    verify(HASH_OF[algorithm], input, key, signature, (error, good) => {
      if (error === null) resolve(good)
      else reject(error)
    })
  })
}

function parsed(given: Uint8Array, what: string): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(given), format: 'der', type: 'spki' })
  } catch (cause) {
    throw unfit(what, 'wanted a public key (SubjectPublicKeyInfo)', cause)
  }
}

function algorithmOf(key: KeyObject): SigningAlgorithm | undefined {
  const { namedCurve = '', modulusLength = 0 } = key.asymmetricKeyDetails ?? {}
  if (key.asymmetricKeyType === 'ec') return CURVES[namedCurve]
  const isRsa = key.asymmetricKeyType === 'rsa' && modulusLength >= MIN_RSA_BITS
  return isRsa ? 'RS256' : undefined
}

function unfit(what: string, wanted: string, cause?: unknown): KmsError {
  const message = `${what} cannot check tokens: ${wanted}`
  return new KmsError(message, { code: 'key_unavailable', cause })
}
