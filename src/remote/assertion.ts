/**
 * JWTs that this node signs with a key of its own (RFC 7523 in spirit): the service
 * knows the public half, so neither an issuer nor an API server is needed.
 *
 * @module
 */

import { createPrivateKey, createPublicKey, type KeyObject, randomUUID } from 'node:crypto'
import { SignJWT } from 'jose'
import * as v from 'valibot'
import type { Clock } from '../base/clock.ts'
import { duration } from '../base/duration.ts'
import { KmsError, systemReasonOf } from '../base/errors.ts'
import type { Call } from '../base/provider.ts'
import { readSmallFile } from '../base/small_file.ts'
import { absolutePath } from './login_fields.ts'
import { fingerprintOf } from './secret_file.ts'
import { tpmKeyConfig } from './tpm/config.ts'

/** These claims are set here. */
const RESERVED = new Set(['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti'])

const claimName = v.pipe(
  v.string(),
  v.check((name) => !RESERVED.has(name), 'a claim other than iss, sub, aud, exp, nbf, iat, jti'),
)

const fields = v.strictObject({
  keyFile: v.optional(
    v.pipe(absolutePath, v.description('Private key of this node: PEM or JWK, not encrypted')),
  ),
  tpm: v.optional(
    v.pipe(tpmKeyConfig, v.description("A key that never leaves this node's TPM 2.0")),
  ),
  audience: v.pipe(
    v.string(),
    v.nonEmpty(),
    v.description('Claim aud: bound_audiences of the role'),
  ),
  subject: v.pipe(v.string(), v.nonEmpty(), v.description('Claim sub: who this node is')),
  issuer: v.optional(v.pipe(v.string(), v.nonEmpty(), v.description('Claim iss: bound_issuer'))),
  lifetime: v.optional(
    v.pipe(
      duration({ minMs: 30_000, maxMs: 3_600_000 }),
      v.description('How long a JWT is good for'),
    ),
    '5m',
  ),
  keyId: v.optional(v.pipe(v.string(), v.nonEmpty(), v.description('Header kid'))),
  claims: v.optional(
    v.pipe(
      v.record(claimName, v.union([v.string(), v.number(), v.boolean()])),
      v.description('More claims, for bound_claims of the role'),
    ),
    {},
  ),
  factClaims: v.optional(
    v.pipe(
      v.record(claimName, v.string()),
      v.description('Claims that hold facts about this node (docs/policy.md), by the path of each'),
    ),
  ),
})
export const assertionConfig = v.pipe(
  fields,
  v.check(
    ({ keyFile, tpm }) => (keyFile === undefined) !== (tpm === undefined),
    'exactly one of keyFile and tpm',
  ),
)
type AssertionConfig = v.InferOutput<typeof assertionConfig>
/** Where the key of this node is. */
export type LoginKeyPlace = Pick<AssertionConfig, 'keyFile' | 'tpm'>

/** What is signed. */
interface Assertion {
  readonly header: { readonly alg: string; readonly typ: string; readonly kid?: string }
  readonly claims: Readonly<Record<string, string | number | boolean>>
}

export interface AssertionKey {
  readonly publicKey: KeyObject
  readonly algorithm: string
  /** Of the key, and of all that decides whether it may sign. */
  readonly fingerprint: string
  sign(assertion: Assertion, call: Call): Promise<string>
}

/** Whose private half is in a file. */
interface FileKey extends AssertionKey {
  readonly key: KeyObject
}

/** How the file of a key in a TPM begins. */
const IN_TPM = /^\s*\{\s*"kind"\s*:\s*"trousseau-tpm-login-key"/
/** Clocks differ: to the service, which allows 60 s of its own, a JWT was made a little before now. */
const LEEWAY_S = 60
const MIN_RSA_BITS = 2_048
const FIELD = 'auth.selfSigned.keyFile'
const WANTED =
  'wanted an unencrypted private key, as PEM (PKCS#8, PKCS#1 or SEC1) or JWK, for ES256, ES384, EdDSA (Ed25519) or RS256 (2048 bits or more)'

/**
 * The key that a config names.
 *
 * @param field where it names it
 * @throws KmsError `denied`: without the key there is no login
 */
export async function assertionKeyOf(
  { keyFile = '', tpm }: LoginKeyPlace,
  clock: Clock,
  field?: string,
): Promise<AssertionKey> {
  if (tpm === undefined) return await readAssertionKey(keyFile, field)
  const { tpmAssertionKey } = await import('./tpm/assertion_key.ts')
  return await tpmAssertionKey(tpm, clock)
}

/**
 * The public half of a key, and where the private one is: in the file, or in the TPM.
 *
 * @throws KmsError `denied` where the file holds no login key
 */
export async function readLoginKey(
  path: string,
): Promise<{ publicKey: KeyObject; algorithm: string; inTpm: boolean }> {
  const text = await readKeyText(path, FIELD)
  if (!IN_TPM.test(text)) return { ...keyIn(text, path, FIELD), inTpm: false }
  const { readTpmKeyFile } = await import('./tpm/login_key_file.ts')
  const { publicKey } = await readTpmKeyFile(path)
  return { publicKey, algorithm: 'ES256', inTpm: true }
}

/** @throws KmsError `denied`: without the key there is no login */
export async function readAssertionKey(path: string, field = FIELD): Promise<FileKey> {
  return keyIn(await readKeyText(path, field), path, field)
}

async function readKeyText(path: string, field: string): Promise<string> {
  return await readSmallFile(path).catch((cause: unknown) => {
    throw unusable(path, field, `cannot be read: ${systemReasonOf(cause)}`, cause)
  })
}

function keyIn(text: string, path: string, field: string): FileKey {
  if (IN_TPM.test(text)) {
    throw unusable(path, field, 'is a key in a TPM: name it in auth.selfSigned.tpm.keyFile')
  }
  const key = parseKey(text, path, field)
  const algorithm = algorithmOf(key)
  if (algorithm === undefined) throw unusable(path, field, `has a key of another kind: ${WANTED}`)
  return {
    key,
    publicKey: createPublicKey(key),
    algorithm,
    fingerprint: fingerprintOf(text),
    sign: ({ header, claims }) => new SignJWT(claims).setProtectedHeader(header).sign(key),
  }
}

/** @param now milliseconds since the epoch */
export function signAssertion(
  key: AssertionKey,
  { audience, subject, issuer, lifetime, keyId, claims }: AssertionConfig,
  now: number,
  call: Call,
): Promise<string> {
  const seconds = Math.floor(now / 1000)
  const issuedAt = seconds - LEEWAY_S
  return key.sign(
    {
      header: { alg: key.algorithm, typ: 'JWT', ...(keyId === undefined ? {} : { kid: keyId }) },
      claims: {
        ...claims,
        ...(issuer === undefined ? {} : { iss: issuer }),
        sub: subject,
        aud: audience,
        iat: issuedAt,
        nbf: issuedAt,
        exp: seconds + Math.floor(lifetime / 1000),
        jti: randomUUID(),
      },
    },
    call,
  )
}

function parseKey(text: string, path: string, field: string): KeyObject {
  try {
    if (text.trimStart().startsWith('{')) {
      const key: unknown = JSON.parse(text)
      return createPrivateKey({ key: v.parse(jwk, key), format: 'jwk' })
    }
    return createPrivateKey(text)
  } catch (cause) {
    const encrypted = /ENCRYPTED/.test(text)
    throw unusable(path, field, `${encrypted ? 'is encrypted' : 'holds no key'}: ${WANTED}`, cause)
  }
}

const jwk = v.looseObject({ kty: v.string() })

/** The JWS algorithm that goes with a key. */
export function algorithmOf({
  asymmetricKeyType,
  asymmetricKeyDetails,
}: KeyObject): string | undefined {
  const { namedCurve, modulusLength = 0 } = asymmetricKeyDetails ?? {}
  switch (asymmetricKeyType) {
    case 'ed25519':
      return 'EdDSA'
    case 'ec':
      return { prime256v1: 'ES256', 'P-256': 'ES256', secp384r1: 'ES384', 'P-384': 'ES384' }[
        namedCurve ?? ''
      ]
    case 'rsa':
      return modulusLength >= MIN_RSA_BITS ? 'RS256' : undefined
    default:
      return undefined
  }
}

function unusable(path: string, field: string, why: string, cause?: unknown): KmsError {
  return new KmsError(`File "${path}" of ${field} ${why}`, { code: 'denied', cause })
}
