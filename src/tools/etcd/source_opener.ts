/**
 * Opens what a plugin wrapped without an API server, with a recovery key or with the providers of a
 * config.
 *
 * Key id and annotations are stored in the clear beside the data, and the plugin would refuse an
 * API server where they are not as it made them (rule D3). Nothing depends on them here, because
 * the object itself only opens with the right key and under its own name. So a difference is
 * reported, and what opens is opened.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { KmsError, toKmsError } from '../../base/errors.ts'
import type { DecryptRequest } from '../../base/service.ts'
import { decodeEnvelope, type OpenedEnvelope, startsAsEnvelope } from '../../kms/envelope.ts'
import { RECOVERY_ANNOTATION } from '../../kms/recovery.ts'
import { envelopeOf, openRecoveryAnnotation, recipientsOf } from '../../recovery/annotation.ts'
import { type PrivateJwk, thumbprintOf } from '../../recovery/jwk.ts'

export interface OpenedSource {
  /** The key or seed with which the API server encrypts. */
  readonly unwrapped: Uint8Array
  /** Why the plugin would refuse an API server that asked for this. */
  readonly differs: string | undefined
}

export interface SourceOpener {
  /** For people. */
  readonly name: string
  /** @throws KmsError */
  open(request: DecryptRequest): Promise<OpenedSource>
}

/** Needs nothing but the key. */
export async function recoveryKeyOpener(key: PrivateJwk): Promise<SourceOpener> {
  const thumbprint = await thumbprintOf(key)
  return {
    name: `recovery key ${thumbprint}`,
    async open(request) {
      const annotation = annotationOf(request)
      // The seed was sealed together with this digest, so it names the envelope for which the
      // annotation was made.
      const digest = envelopeOf(annotation)
      const unwrapped = await openRecoveryAnnotation(annotation, key, digest)
      return { unwrapped, differs: differenceOf(request, digest) }
    },
  }
}

function annotationOf({ api, annotations }: DecryptRequest): Uint8Array {
  const annotation = annotations[RECOVERY_ANNOTATION]
  if (annotation !== undefined) return annotation
  const why =
    api === 'v1beta1'
      ? 'It was written with KMS v1, which has no place for recovery recipients'
      : 'It was written without recovery recipients'
  throw new KmsError(`${why}: only the key service opens it (--config)`, {
    code: 'key_unavailable',
  })
}

/** @param decrypt as the plugin does it for an API server */
export function providersOpener(
  name: string,
  decrypt: (request: DecryptRequest) => Promise<Uint8Array>,
): SourceOpener {
  return {
    name,
    async open(request) {
      // The formats of other plugins are told apart by their key ids.
      if (envelopeIn(request) === undefined) {
        return { unwrapped: await decrypt(request), differs: undefined }
      }
      const unwrapped = await decrypt({ ...request, keyId: undefined, annotations: {} })
      return { unwrapped, differs: differenceOf(request) }
    },
  }
}

function envelopeIn({ ciphertext }: DecryptRequest): OpenedEnvelope | undefined {
  if (!startsAsEnvelope(ciphertext)) return undefined
  try {
    return decodeEnvelope(ciphertext)
  } catch {
    return undefined
  }
}

/** @param sealedFor digest of the header for which the annotation was made, where it was opened */
function differenceOf(request: DecryptRequest, sealedFor?: Uint8Array): string | undefined {
  const { api, keyId, annotations } = request
  const envelope = envelopeIn(request)
  if (envelope === undefined) return 'its envelope is damaged'
  if (sealedFor !== undefined && Buffer.compare(sealedFor, envelope.digest) !== 0) {
    return 'its recovery annotation belongs to another envelope'
  }
  if (api === 'v2' && keyId !== envelope.keyId) {
    return `its key id is stored as ${keyId}, and its envelope was made under ${envelope.keyId}`
  }
  const other = Object.keys(annotations).find((each) => each !== RECOVERY_ANNOTATION)
  return other === undefined ? undefined : `it has an annotation that Trousseau never makes`
}

/** The result of the first opener that succeeds, or the errors of all of them. */
export async function openWith(
  openers: readonly SourceOpener[],
  request: DecryptRequest,
): Promise<OpenedSource & { readonly by: string }> {
  const failures: { name: string; error: KmsError }[] = []
  for (const { name, open } of openers) {
    try {
      return { ...(await open(request)), by: name }
    } catch (thrown) {
      failures.push({ name, error: toKmsError(thrown) })
    }
  }
  const [first, ...more] = failures
  if (first !== undefined && more.length === 0) throw first.error
  const said = failures.map(({ name, error }) => `${name}: ${error.message}`).join('; ')
  throw new KmsError(said, { code: first?.error.code ?? 'key_unavailable' })
}

/** The recipients of an annotation; none where there is no annotation that can be read. */
export function recipientsIn(annotations: DecryptRequest['annotations']): readonly string[] {
  try {
    return recipientsOf(annotations[RECOVERY_ANNOTATION] ?? new Uint8Array())
  } catch {
    return []
  }
}
