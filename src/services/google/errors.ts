/**
 * What Cloud KMS means by its errors, and what to do. Statuses and reasons decide; where several
 * faults share them, Google's words decide, which are never passed on.
 *
 * @module
 */

import { KmsError, type KmsErrorCode } from '../../base/errors.ts'
import { GoogleStatusError, mayPass as mayGooglePass } from './api.ts'
import { partsOf } from './config.ts'

export interface KmsAction {
  readonly permission:
    | 'cloudkms.cryptoKeys.get'
    | 'cloudkms.cryptoKeyVersions.list'
    | 'cloudkms.cryptoKeyVersions.useToEncrypt'
    | 'cloudkms.cryptoKeyVersions.useToDecrypt'
  /** Resource name of the key. */
  readonly key: string
  /** The version that encrypts, or the version in a wrap's label. */
  readonly version?: string
}

/** Bytes changed on their way, so another attempt may succeed. */
export class ChecksumError extends KmsError {
  constructor(what: string, options: ErrorOptions = {}) {
    const message = `Cloud KMS ${what}, time and again: something on the way changes them`
    super(message, { ...options, code: 'protocol' })
  }
}

export function mayPass(error: unknown): boolean {
  return error instanceof ChecksumError || mayGooglePass(error)
}

/** Google refuses a request with a wrong checksum like a bad ciphertext, but in other words. */
export function readChecksumFault(error: unknown): unknown {
  if (!(error instanceof GoogleStatusError) || error.status !== 400) return error
  if (!error.says('crc32c') && !error.says('checksum')) return error
  return new ChecksumError('got bytes that do not fit their checksum', { cause: error })
}

/** @param now this node's time in milliseconds since the epoch */
export function kmsError(error: unknown, action: KmsAction, now: number): unknown {
  if (!(error instanceof GoogleStatusError) || error.state === '') return error
  const { code, message } =
    meaningOfReason(error, action) ?? meaningOfStatus(error, action, now) ?? error
  return new KmsError(message, { code, cause: error })
}

interface ReasonMeaning {
  readonly code: KmsErrorCode
  readonly message: string
}

function meaningOfReason(error: GoogleStatusError, { key }: KmsAction): ReasonMeaning | undefined {
  const { project } = partsOf(key)
  const { reasons } = error
  if (reasons.has('SERVICE_DISABLED')) {
    const message = `Cloud KMS is not enabled in the project of the account or of the key: gcloud services enable cloudkms.googleapis.com --project ${project}`
    return { code: 'key_unavailable', message }
  }
  if (reasons.has('BILLING_DISABLED')) {
    const message = `Billing is off for project ${project}, and Cloud KMS with it: link a billing account`
    return { code: 'key_unavailable', message }
  }
  if (reasons.has('ACCESS_TOKEN_SCOPE_INSUFFICIENT')) {
    const message =
      'Access scopes of the instance do not include Cloud KMS: stop it and give it the scope cloud-platform (gcloud compute instances set-service-account --scopes cloud-platform)'
    return { code: 'denied', message }
  }
  if (reasons.has('SECURITY_POLICY_VIOLATED') || reasons.has('VPC_SERVICE_CONTROLS')) {
    const message =
      'A perimeter of VPC Service Controls keeps this node from Cloud KMS: let its network or account in'
    return { code: 'denied', message }
  }
  return undefined
}

function meaningOfStatus(
  error: GoogleStatusError,
  action: KmsAction,
  now: number,
): ReasonMeaning | undefined {
  switch (error.status) {
    case 400:
      if (error.state === 'FAILED_PRECONDITION') return stateOf(error, action)
      return invalid(action)
    case 401:
      return { code: 'denied', message: `${error.message}; ${clockHint(error, now)}` }
    case 403:
      return { code: 'denied', message: `${error.message}; ${permissionHint(action)}` }
    case 404:
      return missing(action)
    case 429:
      return {
        code: 'throttled',
        message: `${error.message}: raise the quota of Cloud KMS, in the project of the account that asks`,
      }
    default:
      return undefined
  }
}

/** As in "… is not enabled, current state is: DISABLED." */
const STATES: readonly (readonly [state: string, what: string])[] = [
  ['DISABLED', 'is disabled: gcloud kms keys versions enable'],
  [
    'DESTROY_SCHEDULED',
    'is about to be destroyed: gcloud kms keys versions restore, and then enable',
  ],
  ['DESTROYED', 'is destroyed: what it wrapped cannot be opened here any more'],
  ['PENDING_GENERATION', 'is still being made: wait'],
  ['PENDING_IMPORT', 'is still being imported: wait'],
]

function stateOf(error: GoogleStatusError, { version }: KmsAction): ReasonMeaning {
  const found =
    STATES.find(([state]) => error.says(`state is: ${state}`)) ??
    (error.reasons.has('KEY_DISABLED') ? STATES[0] : undefined)
  const what = found?.[1] ?? 'cannot be used in its state: see gcloud kms keys versions list'
  return { code: 'key_unavailable', message: `Version ${version ?? ''} of the key ${what}` }
}

function invalid({ permission, key }: KmsAction): ReasonMeaning {
  switch (permission) {
    case 'cloudkms.cryptoKeyVersions.useToDecrypt':
      return {
        code: 'ciphertext_invalid',
        message: 'Cloud KMS refused the ciphertext: it is damaged, or of another key or envelope',
      }
    case 'cloudkms.cryptoKeyVersions.useToEncrypt':
      return {
        code: 'request_invalid',
        message: 'Cloud KMS refused to encrypt this: it is too long, or the key is of another kind',
      }
    default:
      return {
        code: 'key_unknown',
        message: `Cloud KMS refused the name ${key}; ${whereHint(key)}`,
      }
  }
}

function missing({ permission, key, version }: KmsAction): ReasonMeaning {
  if (permission === 'cloudkms.cryptoKeyVersions.useToEncrypt') {
    return { code: 'key_unavailable', message: `Cloud KMS has no version ${version} of ${key}` }
  }
  return { code: 'key_unknown', message: `Cloud KMS has no ${key}; ${whereHint(key)}` }
}

function whereHint(key: string): string {
  return `check project, key ring and key, and that the endpoint serves location ${partsOf(key).location}`
}

function permissionHint({ permission }: KmsAction): string {
  const uses = permission.startsWith('cloudkms.cryptoKeyVersions.use')
  const role = uses ? 'roles/cloudkms.cryptoKeyEncrypterDecrypter' : 'roles/cloudkms.viewer'
  return `permission ${permission} on the key is missing (${role}), or the key does not exist; "trousseau gcpkms policy" prints what to grant`
}

const CLOCK_TOLERANCE_MS = 30_000

/** A self-signed JWT of a node whose clock is wrong is refused like any bad token. */
function clockHint({ serviceTime }: GoogleStatusError, now: number): string {
  const ahead = serviceTime === undefined ? 0 : now - serviceTime
  if (serviceTime === undefined || Math.abs(ahead) < CLOCK_TOLERANCE_MS) {
    return 'is the account or its key disabled or deleted?'
  }
  const seconds = Math.round(Math.abs(ahead) / 1000)
  const google = new Date(serviceTime).toISOString()
  return `the clock of this node is ${seconds} s ${ahead > 0 ? 'ahead of' : 'behind'} Google's (${google}): set it`
}
