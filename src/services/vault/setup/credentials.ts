/**
 * Credentials that exist on this machine. They are read as the plugin will read them and tested at
 * the service, so that what the plugin could not use is found before anything is changed.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import * as v from 'valibot'
import { readSecretFile, readSecretLine } from '../../../remote/secret_file.ts'
import type { Restriction } from '../../../remote/token_restriction.ts'
import { VaultStatusError } from '../api.ts'
import { givenRestrictions, lookupAnswer } from '../login/lookup.ts'
import { secretIdAnswer, secretIdLimits } from '../login/secret_id.ts'
import type { VaultAdmin } from './admin.ts'
import { fileFinding } from './files.ts'
import { readRole } from './role.ts'
import type { StepFinding } from './step.ts'

/** The service refuses longer passwords, since bcrypt would ignore the rest. */
const MAX_PASSWORD_BYTES = 72

const wrappingAnswer = v.object({ data: v.object({ creation_path: v.string() }) })
const NOT_SEEN: StepFinding = {
  state: 'ok',
  detail: 'is there, and stays as it is; your token may not see whether it is good',
}

/**
 * @throws KmsError `denied`, as the other functions here, for a file that the plugin could not use
 * either
 */
export async function judgePassword(file: string): Promise<StepFinding> {
  const password = await readSecretLine(file, 'auth.passwordFile')
  if (Buffer.byteLength(password) <= MAX_PASSWORD_BYTES) return fileFinding('taken', '')
  return refused(
    `holds a password of more than ${MAX_PASSWORD_BYTES} bytes, which no user can have`,
  )
}

/** Whether a secret id works with the role, and for how long. */
export async function judgeSecretId(
  file: string,
  role: string,
  admin: VaultAdmin,
): Promise<StepFinding> {
  const secret_id = await readSecretFile(file, 'auth.secretIdFile')
  const unknown = refused(
    'holds a secret id that the role does not know, or no more: move the file away',
  )
  if ((await readRole(role, admin)) === undefined) return unknown
  return await unlessRefused(async () => {
    const { data } = await admin.write(`${role}/secret-id/lookup`, { secret_id }, secretIdAnswer)
    return data === undefined ? unknown : asItIs(secretIdLimits(data))
  })
}

/** A wrapping token, which can be looked up without being used. */
export async function judgeWrapped(
  file: string,
  role: string,
  admin: VaultAdmin,
): Promise<StepFinding> {
  const token = await readSecretFile(file, 'auth.secretIdFile')
  const madeBy = `${role}/secret-id`
  try {
    const { data } = await admin.write('sys/wrapping/lookup', { token }, wrappingAnswer)
    if (data.creation_path === madeBy) return asItIs([])
    return refused(`its wrapping token was not made by ${madeBy}: find out who did`)
  } catch (error) {
    if (!(error instanceof VaultStatusError) || ![400, 403].includes(error.status)) throw error
    return {
      state: 'by hand',
      detail:
        'its wrapping token was used, or has expired: a restart of the plugin needs a new one',
    }
  }
}

export function judgeToken(
  file: string,
  policyName: string,
  admin: VaultAdmin,
): Promise<StepFinding> {
  return unlessRefused(async () => {
    const token = await readSecretFile(file, 'auth.tokenFile')
    const { data } = await admin.write('auth/token/lookup', { token }, lookupAnswer)
    const { policies, num_uses } = data
    if (!policies.includes(policyName)) {
      return refused(`holds a token without policy ${policyName}: move the file away`)
    }
    if (num_uses === 0) return asItIs(givenRestrictions(data))
    return refused(`holds a token for ${num_uses} more uses, which no plugin takes: move it away`)
  })
}

function asItIs(limits: readonly Restriction[]): StepFinding {
  if (limits.length === 0) return fileFinding('taken', '')
  return { state: 'ok', detail: limits.map(({ message }) => `but: ${message}`).join('; ') }
}

function refused(detail: string): StepFinding {
  return { state: 'refused', detail }
}

async function unlessRefused(look: () => Promise<StepFinding>): Promise<StepFinding> {
  try {
    return await look()
  } catch (error) {
    if (!(error instanceof VaultStatusError) || error.status !== 403) throw error
    if (!error.says('bad token')) return NOT_SEEN
    return refused('holds a token that is dead: move the file away')
  }
}
