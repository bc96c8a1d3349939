/**
 * Signs with a login key in a TPM. Whether the policy of the key holds, the TPM decides alone; what is
 * read here beside it makes the words of a refusal.
 *
 * @module
 */

import type { Buffer } from 'node:buffer'
import { KmsError } from '../../base/errors.ts'
import type { TpmLoginKey } from './login_key_file.ts'
import { approval, POLICY_REF, pcrPolicy } from './policy.ts'
import { POLICY_FILE, type PolicyFile, type SignedPolicy } from './policy_file.ts'
import { RC, TpmRefusal } from './response_code.ts'
import { nameOf, type PcrValues, policyKeyArea, STORAGE_ROOT, sha256 } from './structures.ts'
import { PERSISTENT_ROOT, type Tpm } from './tpm.ts'

const MAX_TURNS = 3

/**
 * @returns r and s of ES256
 * @throws KmsError `denied` where the TPM does not let the key sign
 */
export async function signInTpm(
  tpm: Tpm,
  key: TpmLoginKey,
  file: PolicyFile | undefined,
  digest: Buffer,
): Promise<Buffer> {
  const handle = await loaded(tpm, key)
  for (let turn = 1; ; turn += 1) {
    try {
      return await inSession(tpm, key, file, { handle, digest })
    } catch (error) {
      // A PCR was extended between two commands, not necessarily one of the policy.
      const changed = error instanceof TpmRefusal && error.kind === RC.pcrChanged
      if (!changed || turn === MAX_TURNS) throw error
    }
  }
}

async function inSession(
  tpm: Tpm,
  key: TpmLoginKey,
  file: PolicyFile | undefined,
  { handle, digest }: { readonly handle: number; readonly digest: Buffer },
): Promise<Buffer> {
  const session = await tpm.startPolicySession()
  try {
    if ('authority' in key.policy) await underSigned(tpm, session, key, file)
    else await tpm.policyPcr(session, key.policy.pcrs.keys())
    return await signed(tpm, handle, digest, session, key)
  } finally {
    await tpm.flush(session)
  }
}

/** Those of `values` that the TPM has otherwise now. */
export function changedPcrs(values: PcrValues, now: PcrValues): number[] {
  return [...values]
    .filter(([pcr, value]) => now.get(pcr)?.equals(value) !== true)
    .map(([pcr]) => pcr)
}

/** The policy that fits best, and which PCRs are otherwise all the same. */
export async function bestPolicy(
  tpm: Tpm,
  { policies }: PolicyFile,
): Promise<{ policy: SignedPolicy; changed: readonly number[] }> {
  const wanted = new Set(policies.flatMap(({ pcrs }) => [...pcrs.keys()]))
  const now = await tpm.readPcrs([...wanted])
  const [best] = policies
    .map((policy) => ({ policy, changed: changedPcrs(policy.pcrs, now) }))
    .toSorted((one, other) => one.changed.length - other.changed.length)
  if (best === undefined) throw new TypeError('Wanted at least one policy')
  return best
}

/** A storage root key to lie under: the one that its file names, or the one that anybody gets. */
export async function storageRoot(
  tpm: Tpm,
  named?: Buffer,
): Promise<{ handle: number; name: Buffer }> {
  const kept = await tpm.readName(PERSISTENT_ROOT)
  if (kept !== undefined && (named === undefined || kept.equals(named))) {
    return { handle: PERSISTENT_ROOT, name: kept }
  }
  return await tpm.createPrimary(STORAGE_ROOT)
}

async function loaded(tpm: Tpm, { path, parent, blobs }: TpmLoginKey): Promise<number> {
  const root = await storageRoot(tpm, parent)
  if (!root.name.equals(parent)) {
    throw new KmsError(
      `Login key "${path}" is not of this TPM, or of before it was cleared: make another one with "trousseau login-key create --tpm", and have it let in`,
      { code: 'denied' },
    )
  }
  const handle = await tpm.load(root.handle, blobs)
  if (root.handle !== PERSISTENT_ROOT) await tpm.flush(root.handle)
  return handle
}

async function underSigned(
  tpm: Tpm,
  session: number,
  { path, policy }: TpmLoginKey,
  file: PolicyFile | undefined,
): Promise<void> {
  if (!('authority' in policy)) throw new TypeError('Wanted a key with signed policies')
  if (file === undefined) {
    throw new KmsError(
      `Login key "${path}" signs under signed policies alone: name the file of "trousseau login-key authorize" in ${POLICY_FILE}`,
      { code: 'denied' },
    )
  }
  const best = await bestPolicy(tpm, file)
  const { pcrs, signature } = best.policy
  const approved = pcrPolicy(pcrs)
  await tpm.policyPcr(session, pcrs.keys())
  const area = policyKeyArea(policy.authority)
  const authority = await tpm.loadPublic(area)
  const ticket = await tpm
    .verifySignature(authority, sha256(approval(approved)), signature)
    .catch((error: unknown) => {
      throw explained(
        error,
        RC.signature,
        (code) =>
          `Policy file "${file.path}" is not signed by the policy key of the login key, or was changed (TPM: ${code}): sign it with the offline key that "login-key create --authorize" was given`,
      )
    })
  await tpm.flush(authority)
  const reference = POLICY_REF
  const keyName = nameOf(area)
  await tpm
    .policyAuthorize(session, { policy: approved, reference, keyName, ticket })
    .catch((error: unknown) => {
      throw explained(
        error,
        RC.value,
        (code) =>
          `TPM does not let the login key sign (${code}): policy file "${file.path}" is stale, it has no policy for the state of now. ${pcrWords(best.changed)} than in the nearest one. If that is as it should be, sign the new state with "trousseau login-key authorize"`,
      )
    })
}

async function signed(
  tpm: Tpm,
  handle: number,
  digest: Buffer,
  session: number,
  { policy }: TpmLoginKey,
): Promise<Buffer> {
  try {
    return await tpm.sign(handle, digest, session)
  } catch (error) {
    if (!('pcrs' in policy)) throw error
    const changed = changedPcrs(policy.pcrs, await tpm.readPcrs([...policy.pcrs.keys()]))
    throw explained(
      error,
      RC.policyFail,
      (code) =>
        `TPM does not let the login key sign (${code}): ${pcrWords(changed)} than when the key was made. If that is as it should be, make another key and have it let in, or one with --authorize, which outlives updates`,
    )
  }
}

function pcrWords(changed: readonly number[]): string {
  return changed.length === 1
    ? `PCR ${changed[0]} has another value`
    : `PCRs ${changed.join(', ')} have other values`
}

/** A refusal of one kind in other words; all other errors as they are. */
function explained(error: unknown, kind: number, words: (code: string) => string): unknown {
  if (!(error instanceof TpmRefusal) || error.kind !== kind) return error
  return new KmsError(words(error.responseCode), { code: 'denied', cause: error })
}
