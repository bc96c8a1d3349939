/**
 * The digests of policies, as a TPM computes them in a session (TPM 2.0 Library, part 3, PolicyPCR
 * and PolicyAuthorize). A key carries the digest of its policy, and signs in a session with the same.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import type { KeyObject } from 'node:crypto'
import { nameOf, type PcrValues, policyKeyArea, selectionOf, sha256 } from './structures.ts'
import { u32 } from './wire.ts'

const START = Buffer.alloc(32)
const POLICY_PCR = u32(0x17f)
const POLICY_AUTHORIZE = u32(0x16a)

/** What a policy is good for: one signed for login keys is no policy of anything else that trusts the same key. */
export const POLICY_REF: Buffer = Buffer.from('trousseau login key')

/** These PCRs have these values. */
export function pcrPolicy(values: PcrValues): Buffer {
  const selection = selectionOf(values.keys())
  return sha256(START, POLICY_PCR, selection, sha256(...values.values()))
}

/** Whatever policy the key has signed. */
export function authorizePolicy(key: KeyObject): Buffer {
  return sha256(sha256(START, POLICY_AUTHORIZE, nameOf(policyKeyArea(key))), POLICY_REF)
}

/** What the offline key signs to approve of a policy. */
export function approval(policy: Uint8Array): Buffer {
  return Buffer.concat([policy, POLICY_REF])
}
