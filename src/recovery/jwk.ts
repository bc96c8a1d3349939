/**
 * Keys of recovery recipients (docs/recovery.md): ECDH keys on P-256 or X25519 as JWK (RFC 7517,
 * RFC 8037). Public halves are in files that the config names; private halves are kept away from
 * the cluster.
 *
 * @module
 */

import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose'
import * as v from 'valibot'
import { decodeBase64 } from '../base/base64.ts'
import { KmsError } from '../base/errors.ts'

export const RECOVERY_CURVES = ['P-256', 'X25519'] as const
export type RecoveryCurve = (typeof RECOVERY_CURVES)[number]

/** How the content key is wrapped for a recipient; this format has no other way. */
export const KEY_ALGORITHM = 'ECDH-ES+A256KW'
const KEY_BYTES = 32

/**
 * Only the spelling that an encoder makes is accepted: another spelling of the same key would look
 * like another recipient.
 */
const coordinate = v.pipe(
  v.string(),
  v.check(
    (text) => bytesOf(text)?.length === KEY_BYTES,
    `${KEY_BYTES} bytes in base64url without padding`,
  ),
)
const facts = {
  alg: v.optional(v.literal(KEY_ALGORITHM)),
  use: v.optional(v.literal('enc')),
  kid: v.optional(v.string()),
  key_ops: v.optional(v.array(v.string())),
}
const p256 = {
  ...facts,
  kty: v.literal('EC'),
  crv: v.literal('P-256'),
  x: coordinate,
  y: coordinate,
}
const x25519 = {
  ...facts,
  kty: v.literal('OKP'),
  crv: v.literal('X25519'),
  // The curve ignores the highest bit (RFC 7748, section 5), so setting it would be a second spelling of
  // the same key.
  x: v.pipe(
    coordinate,
    v.check((text) => (bytesOf(text)?.at(-1) ?? 0) < 0x80, 'a number of 255 bits'),
  ),
}

const publicKey = v.variant('crv', [v.strictObject(p256), v.strictObject(x25519)])
const privateKey = v.variant('crv', [
  v.strictObject({ ...p256, d: coordinate }),
  v.strictObject({ ...x25519, d: coordinate }),
])

export type PublicJwk = v.InferOutput<typeof publicKey>
export type PrivateJwk = v.InferOutput<typeof privateKey>

/** @throws KmsError `request_invalid`; its message says nothing of what the text holds */
export function parsePublicJwk(text: string, where: string): PublicJwk {
  const content = parseJson(text, where)
  if (typeof content === 'object' && content !== null && 'd' in content) {
    throw refused(
      where,
      'holds a private key: it must not come near the cluster; wanted its public half',
    )
  }
  const parsed = v.safeParse(publicKey, content)
  if (parsed.success) return parsed.output
  throw refused(
    where,
    'is not a public JWK on P-256 or X25519, as "trousseau recovery-key create" makes it',
  )
}

/** @throws KmsError `request_invalid` */
export function parsePrivateJwk(text: string, where: string): PrivateJwk {
  const parsed = v.safeParse(privateKey, parseJson(text, where))
  if (parsed.success) return parsed.output
  throw refused(
    where,
    'is not a private JWK on P-256 or X25519, as "trousseau recovery-key create" makes it',
  )
}

/**
 * The thumbprint of RFC 7638 with SHA-256, in base64url. It is the name of a recipient everywhere.
 */
export async function thumbprintOf(jwk: PublicJwk | PrivateJwk): Promise<string> {
  return await calculateJwkThumbprint(jwk as JWK)
}

export interface RecoveryKeyPair {
  readonly publicJwk: PublicJwk
  readonly privateJwk: PrivateJwk
  readonly thumbprint: string
}

export async function generateRecoveryKey(crv: RecoveryCurve): Promise<RecoveryKeyPair> {
  const pair = await generateKeyPair(KEY_ALGORITHM, { crv, extractable: true })
  const [made, secret] = await Promise.all([exportJWK(pair.publicKey), exportJWK(pair.privateKey)])
  const thumbprint = await calculateJwkThumbprint(made)
  const named = { kid: thumbprint, alg: KEY_ALGORITHM, use: 'enc' }
  return {
    publicJwk: v.parse(publicKey, { ...made, ...named }),
    privateJwk: v.parse(privateKey, { ...secret, ...named }),
    thumbprint,
  }
}

function bytesOf(text: string): Uint8Array | undefined {
  return decodeBase64(new TextEncoder().encode(text), 'url')
}

/** Does not pass on the parser's own error, which quotes the text. */
function parseJson(text: string, where: string): unknown {
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson()), text)
  if (parsed.success) return parsed.output
  throw refused(where, 'is not JSON')
}

function refused(where: string, why: string): KmsError {
  return new KmsError(`${where} ${why}`, { code: 'request_invalid' })
}
