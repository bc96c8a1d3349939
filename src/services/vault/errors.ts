/**
 * What the error texts of the transit engine of Vault and OpenBao mean. They have no codes, so the
 * phrases below decide; the texts themselves are never passed on. Each phrase was seen on OpenBao
 * 2.7.2 or read in its source (see the tests).
 *
 * @module
 */

import { KmsError, type KmsErrorCode } from '../../base/errors.ts'

interface PhraseMeaning {
  readonly phrases: readonly string[]
  readonly code: KmsErrorCode
  readonly message: string
}

const MEANINGS: readonly PhraseMeaning[] = [
  {
    phrases: ['disallowed by policy (too old)', 'too old'],
    code: 'key_unavailable',
    message:
      'Key version is below min_decryption_version of the key: lower it to read what that version encrypted',
  },
  {
    phrases: ['no such key version', 'higher than the latest', 'version is too new'],
    code: 'key_unavailable',
    message:
      'Key service does not have this key version now: it is archived, disabled, or this node of the service lags behind',
  },
  {
    phrases: ['less than the minimum encryption key version', 'minimum encryption version'],
    code: 'key_unavailable',
    message: 'Key version is below min_encryption_version of the key',
  },
  {
    phrases: ['encryption key not found', 'no existing key named'],
    code: 'key_unknown',
    message: 'Key service has no key of this name: check mount, key and namespace',
  },
  {
    phrases: ['soft-deleted', 'soft deleted', 'has been deleted'],
    code: 'key_unavailable',
    message: 'Key is deleted at the key service: restore it there',
  },
  {
    phrases: ["missing 'context'"],
    code: 'key_unavailable',
    message:
      'Key is derived, which needs a context that Trousseau has none of: use a key made with derived=false',
  },
  {
    phrases: ['does not support', 'non-AEAD', 'not supported'],
    code: 'key_unavailable',
    message: 'Key type does not bind associated data: use a key of type aes256-gcm96',
  },
  {
    phrases: [
      'message authentication failed',
      'invalid ciphertext',
      'could not decode base64',
      'failed to RSA decrypt',
    ],
    code: 'ciphertext_invalid',
    message: 'Key service refused the ciphertext: it is damaged, or of another key or envelope',
  },
]

/** @param says whether the service's words contain a phrase */
export function transitError(says: (phrase: string) => boolean): KmsError | undefined {
  const meaning = MEANINGS.find(({ phrases }) => phrases.some(says))
  if (meaning === undefined) return undefined
  return new KmsError(meaning.message, { code: meaning.code })
}
