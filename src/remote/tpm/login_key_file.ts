/**
 * The file of a login key in a TPM. It holds nothing secret: the private half is encrypted by the
 * TPM, which gives it to nobody. What the file says of the policy is compared with the key's own.
 *
 * @module
 */

import type { Buffer } from 'node:buffer'
import { createPublicKey, type KeyObject } from 'node:crypto'
import * as v from 'valibot'
import { KmsError, toKmsError } from '../../base/errors.ts'
import { fingerprintOf } from '../secret_file.ts'
import { base64, pcrValues, readJsonFile, textOf } from './files.ts'
import { authorizePolicy, pcrPolicy } from './policy.ts'
import { type PcrValues, readLoginArea } from './structures.ts'
import type { KeyBlobs } from './tpm.ts'

const KIND = 'trousseau-tpm-login-key'
const KEY_FILE = 'auth.selfSigned.tpm.keyFile'
const MADE_BY = 'trousseau login-key create --tpm'

/** The key signs while these PCRs have these values, or while a policy holds that this key signed. */
export type LoginPolicy = { readonly pcrs: PcrValues } | { readonly authority: KeyObject }

export interface TpmLoginKey {
  readonly path: string
  readonly blobs: KeyBlobs
  /** The name of the storage root key that it lies under. */
  readonly parent: Buffer
  readonly policy: LoginPolicy
  readonly publicKey: KeyObject
  readonly fingerprint: string
}

const schema = v.strictObject({
  kind: v.literal(KIND),
  version: v.literal(1),
  public: base64,
  private: base64,
  parent: base64,
  policy: v.union([
    v.strictObject({ pcrs: pcrValues }),
    v.strictObject({ signedBy: v.pipe(v.string(), v.startsWith('-----BEGIN PUBLIC KEY-----')) }),
  ]),
})

/** @throws KmsError `denied`: without the key there is no login */
export async function readTpmKeyFile(path: string): Promise<TpmLoginKey> {
  const { text, content } = await readJsonFile(schema, { path, what: KEY_FILE, madeBy: MADE_BY })
  const refuse = (why: string, cause?: unknown) =>
    new KmsError(`File "${path}" of ${KEY_FILE} ${why}`, { code: 'denied', cause })
  const policy = policyOf(content.policy, (cause) => refuse('names no public key', cause))
  const area = areaOf(content.public, (cause) => refuse('has a key of another kind', cause))
  if (!digestOf(policy).equals(area.policy)) {
    throw refuse('was changed: its key has another policy than the file says')
  }
  const blobs = { publicArea: content.public, privateArea: content.private }
  const { publicKey } = area
  return {
    path,
    blobs,
    parent: content.parent,
    policy,
    publicKey,
    fingerprint: fingerprintOf(text),
  }
}

export function tpmKeyText(
  { publicArea, privateArea }: KeyBlobs,
  parent: Buffer,
  policy: LoginPolicy,
): string {
  const content = {
    kind: KIND,
    version: 1,
    public: publicArea.toString('base64'),
    private: privateArea.toString('base64'),
    parent: parent.toString('base64'),
    policy:
      'pcrs' in policy
        ? { pcrs: textOf(policy.pcrs) }
        : { signedBy: policy.authority.export({ type: 'spki', format: 'pem' }).toString() },
  }
  return `${JSON.stringify(content, undefined, 2)}\n`
}

export function digestOf(policy: LoginPolicy): Buffer {
  return 'pcrs' in policy ? pcrPolicy(policy.pcrs) : authorizePolicy(policy.authority)
}

function policyOf(
  policy: v.InferOutput<typeof schema>['policy'],
  refuse: (cause: unknown) => KmsError,
): LoginPolicy {
  if ('pcrs' in policy) return policy
  try {
    return { authority: createPublicKey(policy.signedBy) }
  } catch (cause) {
    throw refuse(cause)
  }
}

function areaOf(bytes: Buffer, refuse: (cause: unknown) => KmsError) {
  try {
    return readLoginArea(bytes, 'The public area')
  } catch (error) {
    throw refuse(toKmsError(error))
  }
}
