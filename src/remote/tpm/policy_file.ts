/**
 * The file of signed policies, each of which says what values PCRs may have, and is approved of by
 * an offline key. It may hold several: of the state of now, and of the one after an update.
 *
 * @module
 */

import type { Buffer } from 'node:buffer'
import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import * as v from 'valibot'
import { base64, pcrValues, readJsonFile, textOf } from './files.ts'
import { approval, pcrPolicy } from './policy.ts'
import type { PcrValues } from './structures.ts'

export const POLICY_FILE = 'auth.selfSigned.tpm.policyFile'
const KIND = 'trousseau-tpm-policies'
const MADE_BY = 'trousseau login-key authorize'
const SIGNATURE = 64
const MAX_POLICIES = 64

export interface SignedPolicy {
  readonly pcrs: PcrValues
  /** r and s. */
  readonly signature: Buffer
}

const schema = v.strictObject({
  kind: v.literal(KIND),
  version: v.literal(1),
  policies: v.pipe(
    v.array(
      v.strictObject({
        pcrs: pcrValues,
        signature: v.pipe(
          base64,
          v.check(({ length }) => length === SIGNATURE),
        ),
      }),
    ),
    v.minLength(1),
    v.maxLength(MAX_POLICIES),
  ),
})

export interface PolicyFile {
  readonly path: string
  readonly text: string
  readonly policies: readonly SignedPolicy[]
}

/** @throws KmsError `denied` */
export async function readPolicyFile(path: string): Promise<PolicyFile> {
  const options = { path, what: POLICY_FILE, madeBy: MADE_BY }
  const { text, content } = await readJsonFile(schema, options)
  return { path, text, policies: content.policies }
}

export function policyFileText(policies: readonly SignedPolicy[]): string {
  const content = {
    kind: KIND,
    version: 1,
    policies: policies.map(({ pcrs, signature }) => ({
      pcrs: textOf(pcrs),
      signature: signature.toString('base64'),
    })),
  }
  return `${JSON.stringify(content, undefined, 2)}\n`
}

const FORM = { dsaEncoding: 'ieee-p1363' } as const

export function signPolicy(pcrs: PcrValues, key: KeyObject): SignedPolicy {
  return { pcrs, signature: sign('sha256', approval(pcrPolicy(pcrs)), { key, ...FORM }) }
}

/** Whether the key signed it. */
export function isSignedBy({ pcrs, signature }: SignedPolicy, privateKey: KeyObject): boolean {
  const key = createPublicKey(privateKey)
  return verify('sha256', approval(pcrPolicy(pcrs)), { key, ...FORM }, signature)
}
