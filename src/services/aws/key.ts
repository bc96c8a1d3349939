/**
 * Checks for which key KMS answered, and whether a key can be used, by "Key states of AWS KMS keys"
 * (docs.aws.amazon.com/kms/latest/developerguide/key-state.html).
 *
 * @module
 */

import { KmsError, type KmsErrorCode } from '../../base/errors.ts'
import { own } from '../../base/own.ts'
import type { KeyMetadata } from './client.ts'
import { type KeyName, parseKeyName } from './config.ts'

/** The states in which a key cannot be used; in all others Encrypt and Decrypt work. */
const STATES: Readonly<Record<string, readonly [code: KmsErrorCode, why: string]>> = {
  Creating: ['unavailable', 'is still being made'],
  Disabled: ['key_unavailable', 'is disabled: enable it ("aws kms enable-key")'],
  PendingDeletion: ['key_unavailable', 'is to be deleted'],
  PendingImport: ['key_unavailable', 'waits for its key material: import it again'],
  PendingReplicaDeletion: ['key_unavailable', 'is to be deleted once its replicas are'],
  Unavailable: [
    'unavailable',
    'is without its key store: connect that ("aws kms connect-custom-key-store")',
  ],
}
const RESCUE = 'stop that ("aws kms cancel-key-deletion", then "aws kms enable-key")'

/** @throws KmsError `protocol` where DescribeKey answered for another key than the one it was asked for */
export function checkIdentity(
  { Arn, KeyId }: KeyMetadata,
  { text, kind, id, account, region }: KeyName,
): void {
  const told = parseKeyName(Arn)
  const isKey = told?.kind === 'key' && told.id === KeyId && (kind === 'alias' || KeyId === id)
  const isThere = told?.region === region && (account === undefined || told?.account === account)
  if (!isKey || !isThere) throw otherKey(text)
}

/** @param wanted the key as KMS was asked for it */
export function otherKey(wanted: string): KmsError {
  const message = `DescribeKey answered for another KMS key than ${wanted}, which it was asked for`
  return new KmsError(message, { code: 'protocol' })
}

/** @throws KmsError */
export function checkUsable({ Arn, KeyUsage, KeySpec, KeyState, DeletionDate }: KeyMetadata): void {
  if (KeyUsage !== 'ENCRYPT_DECRYPT' || KeySpec !== 'SYMMETRIC_DEFAULT') {
    const message = `KMS key ${Arn} is not symmetric and for encryption: wanted KeySpec SYMMETRIC_DEFAULT`
    throw new KmsError(message, { code: 'key_unavailable' })
  }
  const [code, why] = own(STATES, KeyState) ?? []
  if (code === undefined) return
  const deleted = KeyState === 'PendingDeletion' || KeyState === 'PendingReplicaDeletion'
  const when =
    DeletionDate === undefined ? '' : ` on ${new Date(DeletionDate * 1000).toISOString()}`
  const more = deleted ? `${when}, and every Secret with it: ${RESCUE}` : ''
  throw new KmsError(`KMS key ${Arn} ${why}${more}`, { code })
}
