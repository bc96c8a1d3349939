/** What the response codes of a TPM mean (TPM 2.0 Library, part 2, section 6.6). @module */

import { type FailureMeaning, KmsError } from '../../base/errors.ts'

/** A code without the number of the handle, session or parameter that it is about. */
export const RC = {
  initialize: 0x100,
  failure: 0x101,
  pcrChanged: 0x128,
  commandCode: 0x143,
  hierarchy: 0x085,
  value: 0x084,
  handle: 0x08b,
  authFail: 0x08e,
  signature: 0x09b,
  policyFail: 0x09d,
  integrity: 0x09f,
  badAuth: 0x0a2,
  objectMemory: 0x902,
  sessionMemory: 0x903,
  memory: 0x904,
  yielded: 0x908,
  testing: 0x90a,
  nvRate: 0x920,
  lockout: 0x921,
  retry: 0x922,
} as const

/** With these the same command is to be sent again. */
export const AGAIN: ReadonlySet<number> = new Set([RC.retry, RC.yielded, RC.testing])

const NO_ROOM: FailureMeaning = {
  code: 'unavailable',
  why: 'it has no room for another key or session: something uses it past the resource manager (use /dev/tpmrm0), or did not clear away',
}
const BUSY: FailureMeaning = {
  code: 'unavailable',
  why: 'it is busy, and was still when asked again',
}
const OWNED: FailureMeaning = {
  code: 'denied',
  why: 'it wants the password of its owner hierarchy, or of the storage root key: docs/logins/tpm.md says what to do',
}

const MEANINGS: Readonly<Record<number, FailureMeaning>> = {
  [RC.initialize]: {
    code: 'unavailable',
    why: 'it was not started: the firmware does that at a boot',
  },
  [RC.failure]: {
    code: 'unavailable',
    why: 'it is in failure mode until the machine is switched off and on',
  },
  [RC.pcrChanged]: { code: 'unavailable', why: 'PCRs are changing just now' },
  [RC.commandCode]: { code: 'unavailable', why: 'it does not know this command' },
  [RC.hierarchy]: {
    code: 'unavailable',
    why: 'its owner hierarchy is switched off in the firmware',
  },
  [RC.authFail]: OWNED,
  [RC.badAuth]: OWNED,
  [RC.signature]: {
    code: 'denied',
    why: 'the signature is not by that key, or what it signed was changed',
  },
  [RC.policyFail]: { code: 'denied', why: 'the policy of the key does not hold' },
  [RC.integrity]: {
    code: 'denied',
    why: 'the key was made by another TPM, or before this one was cleared',
  },
  [RC.objectMemory]: NO_ROOM,
  [RC.sessionMemory]: NO_ROOM,
  [RC.memory]: NO_ROOM,
  [RC.yielded]: BUSY,
  [RC.testing]: BUSY,
  [RC.retry]: BUSY,
  [RC.nvRate]: BUSY,
  [RC.lockout]: {
    code: 'unavailable',
    why: 'it is locked out after wrong passwords, for this key too: wait (tpm2_getcap properties-variable tells how long), or tpm2_dictionarylockout --clear-lockout',
  },
}

/** A command that the TPM refused. */
export class TpmRefusal extends KmsError {
  /** Without the number of handle, session or parameter: compare it with {@link RC}. */
  readonly kind: number
  /** As the TPM said it, for messages. */
  readonly responseCode: string

  constructor(command: string, responseCode: number) {
    const kind = kindOf(responseCode)
    const told = `0x${responseCode.toString(16).padStart(3, '0')}`
    const { code, why } = MEANINGS[kind] ?? { code: 'protocol', why: 'for an unknown reason' }
    super(`TPM refused ${command} (${told}): ${why}`, { code })
    this.kind = kind
    this.responseCode = told
  }
}

const FORMAT_ONE = 0x080
/** What a resource manager puts above the code. */
const LAYERS = 0xfff

export function kindOf(responseCode: number): number {
  const own = responseCode & LAYERS
  return (own & FORMAT_ONE) === 0 ? own : own & 0x0bf
}
