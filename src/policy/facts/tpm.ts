/** What the kernel tells of a TPM 2.0. Reading a PCR asks the chip, which is slow. @module */

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCodeOf, systemReasonOf } from '../../base/errors.ts'
import { type Fact, Unknown } from './value.ts'
import { PCRS } from './vocabulary.ts'

const SHA256 = /^[0-9a-f]{64}$/

/** False where the kernel knows no TPM; a TPM of the first version is none for our use. */
export async function tpmPresent(sys: string): Promise<Fact> {
  const folder = join(sys, 'class/tpm')
  try {
    const chips = await readdir(folder)
    if (!chips.includes('tpm0')) return false
    const version = await readFile(join(folder, 'tpm0/tpm_version_major'), 'latin1')
    return version.trim() === '2'
  } catch (error) {
    return new Unknown(`${folder}: ${systemReasonOf(error)}`)
  }
}

/** The PCRs of the SHA-256 bank by their number, in lower case hex. */
export async function tpmPcrs(sys: string): Promise<Fact> {
  const folder = join(sys, 'class/tpm/tpm0/pcr-sha256')
  try {
    const values: Record<string, string> = {}
    // One after the other: the chip answers one at a time.
    for (let pcr = 0; pcr < PCRS; pcr += 1) {
      const value = await pcrIn(folder, pcr)
      if (value !== undefined) values[pcr] = value
    }
    const none = Object.keys(values).length === 0
    return none ? new Unknown(`${folder} has no PCR that can be read`) : values
  } catch (error) {
    return new Unknown(`${folder}: ${systemReasonOf(error)}`)
  }
}

async function pcrIn(folder: string, pcr: number): Promise<string | undefined> {
  try {
    const value = (await readFile(join(folder, String(pcr)), 'latin1')).trim().toLowerCase()
    return SHA256.test(value) ? value : undefined
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined
    throw error
  }
}
