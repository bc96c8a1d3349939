/** The result of opening an object. @module */

import { KmsError, toKmsError } from '../../base/errors.ts'
import type { Found } from './found.ts'
import type { ObjectOpener } from './object_opener.ts'
import type { StoredRecord } from './record.ts'

export type OpeningOutcome =
  | {
      readonly found: Found
      /** As an API server stores it in the clear. */
      readonly plaintext: Uint8Array
      /**
       * The name of the key or provider that opened it; undefined where the object was in the
       * clear.
       */
      readonly by: string | undefined
      /** Why an API server could still not read it. */
      readonly differs: string | undefined
    }
  | { readonly found: Found; readonly error: KmsError }

/** Enough for two full batches of Vault or OpenBao. */
const AT_ONCE = 256

/** Yields results in the order of the objects; several objects are opened at the same time. */
export async function* outcomesOf(
  pages: AsyncIterable<readonly Found[]>,
  opener: ObjectOpener,
): AsyncGenerator<OpeningOutcome> {
  for await (const page of pages) {
    for (let at = 0; at < page.length; at += AT_ONCE) {
      const part = page.slice(at, at + AT_ONCE)
      yield* await Promise.all(part.map((found) => outcomeOf(found, opener)))
    }
  }
}

async function outcomeOf(found: Found, opener: ObjectOpener): Promise<OpeningOutcome> {
  const { record, value, key } = found
  if (record.form === 'plaintext') {
    return { found, plaintext: value, by: undefined, differs: undefined }
  }
  try {
    if (record.form === 'kms-v1' || record.form === 'kms-v2') {
      return { found, ...(await opener.open(record, key)) }
    }
    throw beyond(record)
  } catch (error) {
    return { found, error: toKmsError(error) }
  }
}

function beyond(record: StoredRecord): KmsError {
  const refused = (message: string) => new KmsError(message, { code: 'ciphertext_invalid' })
  switch (record.form) {
    case 'empty-key':
      return new KmsError(
        'Its wrapped key is empty: whatever stored it lost the key (a known fault of Trousseau 1.x with a static token)',
        { code: 'ciphertext_empty' },
      )
    case 'static-key':
      return new KmsError(
        `It is encrypted with ${record.cipher} under the key "${record.keyName}" of the API server's own EncryptionConfiguration, which Trousseau does not read`,
        { code: 'key_unknown' },
      )
    case 'damaged':
      return refused(`Its stored value is damaged: ${record.problem}`)
    case 'unknown-encryption':
      return refused('It is encrypted in a form that this version of Trousseau does not know')
    default:
      return refused('It is no object of an API server')
  }
}
