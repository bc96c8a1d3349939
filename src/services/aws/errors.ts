/**
 * The errors with which KMS refuses a request, and what to do about them. Names are those of
 * "Errors" in docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html, …/API_Decrypt.html,
 * …/API_DescribeKey.html and …/CommonErrors.html.
 *
 * @module
 */

import type { KmsErrorCode } from '../../base/errors.ts'
import { own } from '../../base/own.ts'
import type { HttpAnswer } from '../../remote/http/client.ts'
import { AwsError, type Fault, NOT_OF_AWS } from './fault.ts'

export type KmsAction = 'Encrypt' | 'Decrypt' | 'DescribeKey'

export interface Asked {
  readonly action: KmsAction
  /** ARN, id or alias. */
  readonly key: string
  readonly region: string
}

interface AwsMeaning {
  readonly code: KmsErrorCode
  readonly passing?: boolean
  readonly say: (asked: Asked) => string
}

const denied: AwsMeaning = {
  code: 'denied',
  say: ({ action, key }) =>
    `kms:${action} on ${key} is not allowed: grant it in the IAM policy of these credentials ("trousseau awskms policy" prints one) or in the key policy, and in the policy of a VPC endpoint on the way`,
}
const unusable: AwsMeaning = {
  code: 'key_unavailable',
  say: ({ key }) =>
    `KMS key ${key} cannot be used in the state it is in (pending deletion or import, or without its key store): look at it with "aws kms describe-key"`,
}
const wrongUse: AwsMeaning = {
  code: 'key_unavailable',
  say: ({ key }) =>
    `KMS key ${key} is not for encryption: wanted a symmetric key (SYMMETRIC_DEFAULT)`,
}
const unknown: AwsMeaning = {
  code: 'key_unavailable',
  say: ({ key, region }) => `KMS has no key ${key} in region ${region}: check key and region`,
}
const failing: AwsMeaning = {
  code: 'unavailable',
  passing: true,
  say: () => 'KMS does not serve this now',
}

const MEANINGS: Readonly<Record<string, AwsMeaning>> = {
  AccessDeniedException: denied,
  AccessDenied: denied,
  DependencyTimeoutException: failing,
  DisabledException: {
    code: 'key_unavailable',
    say: ({ key }) => `KMS key ${key} is disabled: enable it ("aws kms enable-key")`,
  },
  IncorrectKeyException: {
    code: 'ciphertext_invalid',
    say: ({ key }) => `Ciphertext is not of KMS key ${key}`,
  },
  InvalidArnException: unknown,
  InvalidCiphertextException: {
    code: 'ciphertext_invalid',
    say: ({ key }) =>
      `KMS key ${key} does not open this ciphertext: it is damaged, or of another envelope or encryption context`,
  },
  InvalidGrantTokenException: {
    code: 'denied',
    say: ({ key }) => `KMS refuses a grant token for ${key}: check grantTokenFile`,
  },
  InvalidKeyUsageException: wrongUse,
  KMSInternalException: failing,
  KMSInvalidStateException: unusable,
  KeyUnavailableException: failing,
  NotFoundException: unknown,
  UnsupportedOperationException: wrongUse,
}

const BY_KIND: Readonly<Record<Fault['kind'], AwsMeaning>> = {
  credentials: {
    code: 'denied',
    say: () =>
      'KMS does not know these credentials, or they have expired, and there are no others: check where they come from',
  },
  signature: {
    code: 'denied',
    say: ({ region }) =>
      `KMS refuses the signature: the secret access key is not that of the access key id, the endpoint is of another region than ${region}, or something on the way changes requests`,
  },
  throttled: {
    code: 'throttled',
    passing: true,
    say: ({ region }) =>
      `KMS limits the rate of requests of this account in ${region}: see "Request quotas" of KMS in Service Quotas`,
  },
  passing: failing,
  foreign: { code: 'unavailable', say: () => NOT_OF_AWS },
  other: { code: 'protocol', say: () => 'KMS refuses the request' },
}

export function kmsError({ name, kind }: Fault, answer: HttpAnswer, asked: Asked): AwsError {
  const { code, passing, say } = own(MEANINGS, name) ?? BY_KIND[kind]
  const clock = kind === 'signature' ? clockHint(answer) : ''
  const message = `${asked.action} answered ${name || answer.status}: ${say(asked)}${clock}`
  return new AwsError(message, { code, ...(passing === undefined ? {} : { passing }) })
}

function clockHint({ serviceTime }: HttpAnswer): string {
  if (serviceTime === undefined) return ''
  return `; its clock says ${new Date(serviceTime).toISOString()}`
}
