/** What can be seen of a login key in a TPM, and whether it would sign now: for `doctor` and for people. @module */

import type { Clock } from '../../base/clock.ts'
import { type KmsError, toKmsError } from '../../base/errors.ts'
import type { Call } from '../../base/provider.ts'
import type { TpmKeyConfig } from './config.ts'
import { readTpmKeyFile, type TpmLoginKey } from './login_key_file.ts'
import { type PolicyFile, readPolicyFile } from './policy_file.ts'
import { bestPolicy, changedPcrs, signInTpm } from './signing.ts'
import { PCR_COUNT, type PcrValues, sha256 } from './structures.ts'
import type { Tpm } from './tpm.ts'
import { useTpm } from './use.ts'

const MANUFACTURER = 0x105
const FIRMWARE = 0x10b
const PERMANENT = 0x200
const IN_LOCKOUT = 1 << 9

export interface TpmFacts {
  readonly manufacturer: string
  /** The number of the firmware, such as `7.2`. */
  readonly firmware: string
  /** Passwords are not taken for a while; a login key has none. */
  readonly lockedOut: boolean
  /** All of the bank sha256. */
  readonly pcrs: PcrValues
}

export interface LoginKeyLook {
  readonly facts: TpmFacts
  readonly key: TpmLoginKey
  /** Undefined where the key needs none, or none is there. */
  readonly policies: number | undefined
  /** The PCRs that the key depends on, under the policy that fits best. */
  readonly pcrs: readonly number[]
  /** Those of them that are otherwise than they must be. */
  readonly changed: readonly number[]
  /** Why it would not sign now. */
  readonly refusal: KmsError | undefined
}

interface LookDeps {
  readonly clock: Clock
  readonly call: Call
}

export function lookAtTpm(device: string, deps: LookDeps): Promise<TpmFacts> {
  return useTpm(device, deps, factsOf)
}

/**
 * Has the key sign something that is no JWT.
 *
 * @throws KmsError where a file cannot be used, or the TPM is not there
 */
export async function lookAtLoginKey(
  { keyFile, policyFile, device }: TpmKeyConfig,
  deps: LookDeps,
): Promise<LoginKeyLook> {
  const key = await readTpmKeyFile(keyFile)
  const file = policyFile === undefined ? undefined : await readPolicyFile(policyFile)
  return await useTpm(device, deps, async (tpm) => {
    const facts = await factsOf(tpm)
    const { pcrs, changed } = await dependenceOf(tpm, key, file)
    const refusal = await signInTpm(tpm, key, file, sha256()).then(
      () => undefined,
      (error: unknown) => toKmsError(error),
    )
    return { facts, key, policies: file?.policies.length, pcrs, changed, refusal }
  })
}

async function dependenceOf(tpm: Tpm, { policy }: TpmLoginKey, file: PolicyFile | undefined) {
  if ('pcrs' in policy) {
    const pcrs = [...policy.pcrs.keys()]
    return { pcrs, changed: changedPcrs(policy.pcrs, await tpm.readPcrs(pcrs)) }
  }
  if (file === undefined) return { pcrs: [], changed: [] }
  const { policy: best, changed } = await bestPolicy(tpm, file)
  return { pcrs: [...best.pcrs.keys()], changed }
}

async function factsOf(tpm: Tpm): Promise<TpmFacts> {
  const firmware = (await tpm.property(FIRMWARE)) ?? 0
  const permanent = (await tpm.property(PERMANENT)) ?? 0
  return {
    manufacturer: lettersOf((await tpm.property(MANUFACTURER)) ?? 0),
    firmware: `${firmware >>> 16}.${firmware & 0xffff}`,
    lockedOut: (permanent & IN_LOCKOUT) !== 0,
    pcrs: await tpm.readPcrs(Array.from({ length: PCR_COUNT }, (_, pcr) => pcr)),
  }
}

/** Four letters in a number; what is none is left out. */
function lettersOf(number: number): string {
  const letters = [24, 16, 8, 0].map((bits) => (number >>> bits) & 0xff)
  return String.fromCharCode(...letters.filter((code) => code > 0x20 && code < 0x7f))
}

/** Whether a PCR has the value that it begins with, so that nothing was measured into it. */
export function isUntouched(value: Uint8Array): boolean {
  return value.every((byte) => byte === 0) || value.every((byte) => byte === 0xff)
}
