/** Says in words whose keys could open an object. It opens nothing. @module */

import { decodeEnvelope, type OpenedEnvelope } from '../../kms/envelope.ts'
import type { StoredRecord } from './record.ts'
import { recipientsIn } from './source_opener.ts'

/** The same text for objects that the same keys open; not safe for a terminal. */
export function protectionNote(record: StoredRecord): string {
  switch (record.form) {
    case 'kms-v2': {
      const { provider, source, keyId, annotations } = record
      const recipients = recipientsIn(annotations).map((each) => `, or recovery key ${each}`)
      return `KMS v2 "${provider}": ${whose(source, keyId)}${recipients.join('')}`
    }
    case 'kms-v1':
      return `KMS v1 "${record.provider}": ${whose(record.wrappedKey, undefined)}`
    case 'empty-key':
      return `KMS v1 "${record.provider}": nobody, its key was lost when it was written`
    case 'static-key':
      return `${record.cipher} key "${record.keyName}" of the EncryptionConfiguration`
    case 'damaged':
      return `nobody: its stored value is damaged (${record.problem})`
    case 'plaintext':
      return 'in the clear'
    case 'unknown-encryption':
      return 'encrypted in a form that this version of Trousseau does not know'
    case 'foreign':
      return 'no object of an API server'
  }
}

function whose(ciphertext: Uint8Array, keyId: string | undefined): string {
  const envelope = envelopeIn(ciphertext)
  if (envelope !== undefined) return members(envelope)
  const under = keyId === undefined ? '' : ` under key id ${keyId}`
  return `another plugin's ciphertext${under}`
}

function members({ scheme, k, members: all }: OpenedEnvelope): string {
  const names = all.map(({ providerId, version }) => `${providerId} (version ${version})`)
  if (scheme === 'threshold') return `any ${k} of ${names.join(', ')}`
  return names.join(', or ')
}

function envelopeIn(ciphertext: Uint8Array): OpenedEnvelope | undefined {
  try {
    return decodeEnvelope(ciphertext)
  } catch {
    return undefined
  }
}
