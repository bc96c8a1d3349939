/** What `doctor` says of a login key in a TPM. @module */

import type { Clock } from '../../base/clock.ts'
import { type KmsError, toKmsError } from '../../base/errors.ts'
import type { Call, NodeRemark } from '../../base/provider.ts'
import type { TpmKeyConfig } from './config.ts'
import { isUntouched, type LoginKeyLook, lookAtLoginKey } from './look.ts'

/** Never fails: what cannot be looked at is an error among the remarks. */
export async function tpmRemarks(
  config: TpmKeyConfig,
  deps: { readonly clock: Clock; readonly call: Call },
): Promise<NodeRemark[]> {
  try {
    const look = await lookAtLoginKey(config, deps)
    return [...verdict(look), ...worthless(look), ...lockedOut(look)]
  } catch (error) {
    return [refused(toKmsError(error))]
  }
}

function verdict({ refusal, facts, pcrs, policies }: LoginKeyLook): NodeRemark[] {
  if (refusal !== undefined) return [refused(refusal)]
  const signed = policies === undefined ? '' : `, by a policy of ${policies} that are signed`
  const what = `the login key in the TPM (${facts.manufacturer}, firmware ${facts.firmware}) signs now, under PCR ${pcrs.join(', ')}${signed}`
  return [{ id: 'tpm', level: 'ok', what }]
}

function refused({ code, message }: KmsError): NodeRemark {
  return code === 'denied'
    ? {
        id: 'tpm-refuses',
        level: 'error',
        what: message,
        why: 'This node cannot log in while its state is another one than the login key wants.',
        todo: 'Find out why it is: docs/logins/tpm.md has each cause, and the ways back.',
      }
    : {
        id: 'tpm-unusable',
        level: 'error',
        what: message,
        why: 'The login key is in the TPM alone.',
        todo: 'docs/logins/tpm.md has what each message means.',
      }
}

function worthless({ facts, pcrs }: LoginKeyLook): NodeRemark[] {
  const empty = pcrs.filter((pcr) => isUntouched(facts.pcrs.get(pcr) ?? new Uint8Array()))
  if (empty.length === 0) return []
  return [
    {
      id: 'tpm-empty-pcr',
      level: 'warning',
      what: `nothing was measured into PCR ${empty.join(', ')}, which the login key depends on`,
      why: 'Such a PCR is the same whatever runs on the node.',
      todo: 'Choose PCRs that the boot of this node measures into: docs/logins/tpm.md.',
    },
  ]
}

function lockedOut({ facts }: LoginKeyLook): NodeRemark[] {
  if (!facts.lockedOut) return []
  return [
    {
      id: 'tpm-locked-out',
      level: 'notice',
      what: 'the TPM is locked out after wrong passwords',
      why: 'The login key has no password, and is not concerned; other keys of this node are.',
      todo: 'Find out who tried. It ends by itself, or with tpm2_dictionarylockout --clear-lockout.',
    },
  ]
}
