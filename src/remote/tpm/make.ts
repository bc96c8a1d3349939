/** Makes a login key in the TPM, usable under its policy alone. @module */

import type { KeyObject } from 'node:crypto'
import type { Clock } from '../../base/clock.ts'
import { KmsError } from '../../base/errors.ts'
import type { Call } from '../../base/provider.ts'
import { digestOf, type LoginPolicy, tpmKeyText } from './login_key_file.ts'
import { storageRoot } from './signing.ts'
import { loginKeyTemplate, type PcrValues, readLoginArea } from './structures.ts'
import type { Tpm } from './tpm.ts'
import { useTpm } from './use.ts'

/** What the key is to depend on: PCRs as they are now, or what a policy key signs. */
export type WantedPolicy = { readonly pcrs: readonly number[] } | { readonly authority: KeyObject }

interface MadeKey {
  /** Of its file. */
  readonly text: string
  readonly publicKey: KeyObject
  readonly policy: LoginPolicy
}

/** @throws KmsError where the TPM is not there, refuses, or has no such PCR */
export function makeTpmKey(
  device: string,
  wanted: WantedPolicy,
  deps: { readonly clock: Clock; readonly call: Call },
): Promise<MadeKey> {
  return useTpm(device, deps, async (tpm) => {
    const policy = 'pcrs' in wanted ? { pcrs: await valuesOf(tpm, wanted.pcrs) } : wanted
    const template = loginKeyTemplate(digestOf(policy))
    const { handle, name } = await storageRoot(tpm)
    const blobs = await tpm.create(handle, template)
    const { publicKey } = readLoginArea(blobs.publicArea, 'The key that the TPM made')
    return { text: tpmKeyText(blobs, name, policy), publicKey, policy }
  })
}

async function valuesOf(tpm: Tpm, pcrs: readonly number[]): Promise<PcrValues> {
  const values = await tpm.readPcrs(pcrs)
  const missing = pcrs.filter((pcr) => !values.has(pcr))
  if (missing.length === 0) return values
  throw new KmsError(
    `The TPM has no PCR ${missing.join(', ')} in its bank sha256: switch that bank on in the firmware`,
    { code: 'request_invalid' },
  )
}
