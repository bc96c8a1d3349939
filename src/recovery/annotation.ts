/**
 * The annotation `recovery.trousseau.io` holds the seed as one JWE in the general JSON form (RFC
 * 7516 §7.2.1), which every recipient can open alone (docs/recovery.md, "Opening by hand"). Its
 * associated data is the digest of the envelope's header, so it belongs to that one envelope.
 *
 * @module
 */

import { base64url, GeneralEncrypt, generalDecrypt, importJWK, type JWK } from 'jose'
import * as v from 'valibot'
import { decodeBase64 } from '../base/base64.ts'
import { KmsError } from '../base/errors.ts'
import { MAX_ANNOTATION_BYTES, SEED_BYTES } from '../base/limits.ts'
import type { RecoverySealer } from '../kms/recovery.ts'
import { KEY_ALGORITHM, type PrivateJwk, type PublicJwk, thumbprintOf } from './jwk.ts'

const CONTENT_ALGORITHM = 'A256GCM'
/** The annotation is stored with every object; with this many recipients it stays below 4 kB. */
export const MAX_RECIPIENTS = 8

const general = v.object({
  protected: v.string(),
  iv: v.string(),
  ciphertext: v.string(),
  tag: v.string(),
  aad: v.string(),
  recipients: v.pipe(
    v.array(
      v.object({
        // The sender's key stands here, or in the protected header where there is one recipient.
        header: v.looseObject({ kid: v.string(), alg: v.literal(KEY_ALGORITHM) }),
        encrypted_key: v.string(),
      }),
    ),
    v.minLength(1),
    v.maxLength(MAX_RECIPIENTS),
  ),
})

/** @throws KmsError `request_invalid` where the same key is given twice */
export async function createRecoverySealer(
  recipients: readonly PublicJwk[],
): Promise<RecoverySealer> {
  const keys = await Promise.all(
    recipients.map(async (jwk) => ({
      thumbprint: await thumbprintOf(jwk),
      key: await importJWK(jwk as JWK, KEY_ALGORITHM),
    })),
  )
  keys.sort((a, b) => (a.thumbprint < b.thumbprint ? -1 : 1))
  const twice = keys.find(({ thumbprint }, at) => thumbprint === keys[at - 1]?.thumbprint)
  if (twice !== undefined) {
    throw new KmsError(`recovery.recipients has the key ${twice.thumbprint} twice`, {
      code: 'request_invalid',
    })
  }
  return {
    thumbprints: keys.map(({ thumbprint }) => thumbprint),
    async seal(seed, boundTo) {
      const jwe = new GeneralEncrypt(seed)
        .setProtectedHeader({ enc: CONTENT_ALGORITHM })
        .setAdditionalAuthenticatedData(boundTo)
      for (const { thumbprint, key } of keys) {
        jwe.addRecipient(key).setUnprotectedHeader({ alg: KEY_ALGORITHM, kid: thumbprint })
      }
      return new TextEncoder().encode(JSON.stringify(await jwe.encrypt()))
    },
  }
}

/**
 * Some runtimes accept any numbers as a point of a curve and fail only when the key is used, which
 * would be at the first Encrypt.
 *
 * @param where what the key was read from
 * @throws KmsError `request_invalid` where nothing can be encrypted to the key
 */
export async function checkSeals(jwk: PublicJwk, where: string): Promise<void> {
  try {
    const sealer = await createRecoverySealer([jwk])
    await sealer.seal(new Uint8Array(SEED_BYTES), new Uint8Array())
  } catch (cause) {
    throw new KmsError(
      `${where} has a key that nothing can be encrypted to: it is not a usable point of its curve; make one with "trousseau recovery-key create"`,
      { code: 'request_invalid', cause },
    )
  }
}

/** Thumbprints of the recipients that an annotation says it is for. */
export function recipientsOf(annotation: Uint8Array): readonly string[] {
  return parse(annotation).recipients.map(({ header }) => header.kid)
}

/**
 * Digest of the header of the envelope that an annotation was made for.
 *
 * @throws KmsError `ciphertext_invalid`
 */
export function envelopeOf(annotation: Uint8Array): Uint8Array {
  const envelope = decodeBase64(new TextEncoder().encode(parse(annotation).aad), 'url')
  if (envelope === undefined) throw damaged('does not name the envelope that it belongs to')
  return envelope
}

/**
 * Opens the seed without any key service.
 *
 * @param boundTo digest of the header of the envelope that the annotation came with
 * @throws KmsError `key_unknown` where the key is none of the recipients', `ciphertext_invalid`
 */
export async function openRecoveryAnnotation(
  annotation: Uint8Array,
  privateJwk: PrivateJwk,
  boundTo: Uint8Array,
): Promise<Uint8Array> {
  const { recipients, ...shared } = parse(annotation)
  const thumbprint = await thumbprintOf(privateJwk)
  const own = recipients.filter(({ header }) => header.kid === thumbprint)
  if (own.length === 0) {
    const named = recipients.map(({ header }) => printable(header.kid)).join(', ')
    throw new KmsError(
      `Key ${thumbprint} is not one of the recipients of this annotation, which are ${named}`,
      { code: 'key_unknown' },
    )
  }
  if (shared.aad !== base64url.encode(boundTo)) {
    throw damaged('belongs to another envelope than the one it came with')
  }
  try {
    const key = await importJWK(privateJwk as JWK, KEY_ALGORITHM)
    const options = {
      keyManagementAlgorithms: [KEY_ALGORITHM],
      contentEncryptionAlgorithms: [CONTENT_ALGORITHM],
    }
    const { plaintext } = await generalDecrypt({ ...shared, recipients: own }, key, options)
    return plaintext
  } catch (cause) {
    throw damaged('does not open: it is damaged', cause)
  }
}

function parse(annotation: Uint8Array): v.InferOutput<typeof general> {
  if (annotation.length > MAX_ANNOTATION_BYTES) throw damaged('is longer than any of Trousseau')
  const text = new TextDecoder().decode(annotation)
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), general), text)
  if (!parsed.success) throw damaged('is not a JWE as Trousseau makes them')
  return parsed.output
}

/** Makes text of unknown origin safe to print. */
function printable(text: string): string {
  return text.slice(0, 64).replaceAll(/[^\w-]/g, '?')
}

function damaged(why: string, cause?: unknown): KmsError {
  return new KmsError(`Recovery annotation ${why}`, { code: 'ciphertext_invalid', cause })
}
