/**
 * Says why a ciphertext that is not Trousseau's own went to no provider, and what to do. It names
 * formats, never bytes of the request.
 *
 * @module
 */

import { KmsError, type KmsErrorCode } from '../base/errors.ts'
import type { DecryptRequest } from '../base/service.ts'
import { FOREIGN_FORMS, FORMS, type ForeignFormName } from './forms.ts'

interface Reads {
  readonly reads: readonly ForeignFormName[]
}

const PAGE = 'docs/takeover.md'

/** Formats without a text that names their plugin: nearly any bytes look like one of these. */
const BINARY: ReadonlySet<ForeignFormName> = new Set([
  'aws-encryption-provider',
  'azure-kubernetes-kms',
  'k8s-cloudkms-plugin',
])

export function foreignRefusal(request: DecryptRequest, readers: readonly Reads[]): KmsError {
  const alike = FOREIGN_FORMS.filter((name) => looksLike(name, request))
  if (alike.includes('trousseau-2') && isLost(request)) return lost()
  const unread = alike.filter((name) => !readers.some(({ reads }) => reads.includes(name)))
  const telling = unread.filter((name) => tells(name, request))
  if (telling.length > 0) {
    const names = telling.join(' or ')
    return refused(
      `was not made by Trousseau: it looks like one of ${names}, which no provider reads (${PAGE})`,
      'ciphertext_invalid',
    )
  }
  const read = alike.find((name) => !unread.includes(name))
  if (read !== undefined) return mismatch(request, read)
  return refused('was not made by Trousseau', 'ciphertext_invalid')
}

/**
 * Under v2, key id and annotations say which plugin it was; under v1beta1 only a text in the bytes
 * does.
 */
function tells(name: ForeignFormName, { api, keyId = '', annotations }: DecryptRequest): boolean {
  if (api === 'v1beta1') return !BINARY.has(name)
  return FORMS[name].keyId(keyId, undefined) && FORMS[name].annotations(annotations)
}

function looksLike(name: ForeignFormName, request: DecryptRequest): boolean {
  return FORMS[name].apis.includes(request.api) && FORMS[name].parts(request) !== undefined
}

function isLost(request: DecryptRequest): boolean {
  return FORMS['trousseau-2'].parts(request)?.some(({ bytes }) => bytes.length === 0) === true
}

function lost(): KmsError {
  return refused(
    'holds no wrapped key: whatever stored it lost the key of this object (a known fault of Trousseau 2 with a static token)',
    'ciphertext_empty',
  )
}

/** The bytes have a format that is read, but the rest of the request does not fit it. */
function mismatch({ api, annotations }: DecryptRequest, form: ForeignFormName): KmsError {
  if (api === 'v1beta1') {
    return refused(
      `is one of ${form} whose lines name no provider of this config (${PAGE})`,
      'key_unknown',
    )
  }
  if (!FORMS[form].annotations(annotations)) {
    return refused(
      `looks like one of ${form}, but the annotations of the request are not`,
      'request_invalid',
    )
  }
  return refused(
    `looks like one of ${form}, but the key id of the request is none that ${form} makes of this key`,
    'key_unknown',
  )
}

function refused(what: string, code: KmsErrorCode): KmsError {
  return new KmsError(`Ciphertext ${what}`, { code })
}
