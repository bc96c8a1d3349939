/**
 * What an AWS service says of a request that failed. The status says little (KMS throttles with
 * 400), so the name in the body counts, as JSON
 * (smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html) or XML (aws-query-protocol.html).
 *
 * @module
 */

import * as v from 'valibot'
import { KmsError, type KmsErrorOptions } from '../../base/errors.ts'
import type { HttpAnswer } from '../../remote/http/client.ts'
import { answerJson } from '../../remote/http/json.ts'

/** A failure that the service reported. */
export class AwsError extends KmsError {
  /** True where the same request may succeed a moment later. */
  readonly passing: boolean

  constructor(message: string, options: KmsErrorOptions & { readonly passing?: boolean }) {
    super(message, options)
    this.passing = options.passing ?? false
  }
}

const NAMES = {
  /** The credentials have ended, or the service does not know them (any more). */
  credentials: [
    'ExpiredToken',
    'ExpiredTokenException',
    'InvalidClientTokenId',
    'InvalidToken',
    'UnrecognizedClientException',
  ],
  /**
   * The cause is the clock, the secret access key, or something on the way that changes requests.
   */
  signature: [
    'IncompleteSignature',
    'IncompleteSignatureException',
    'InvalidSignatureException',
    'RequestExpired',
    'RequestInTheFuture',
    'RequestTimeTooSkewed',
    'SignatureDoesNotMatch',
  ],
  throttled: [
    'RequestLimitExceeded',
    'RequestThrottled',
    'RequestThrottledException',
    'Throttling',
    'ThrottlingException',
    'ThrottledException',
    'TooManyRequestsException',
  ],
} as const
const KINDS = new Map<string, keyof typeof NAMES>([
  ...NAMES.credentials.map((name) => [name, 'credentials'] as const),
  ...NAMES.signature.map((name) => [name, 'signature'] as const),
  ...NAMES.throttled.map((name) => [name, 'throttled'] as const),
])

export interface Fault {
  /** Such as `AccessDeniedException`; empty where the answer has none. */
  readonly name: string
  readonly kind: keyof typeof NAMES | 'passing' | 'foreign' | 'other'
}

const jsonFault = v.pipe(answerJson, v.object({ __type: v.string() }))

/** Undefined for an answer that is no failure. */
export function faultOf({ status, text, header }: HttpAnswer): Fault | undefined {
  if (status === 200) return undefined
  const name = plainName(nameIn(text) ?? header('x-amzn-errortype') ?? '')
  return { name, kind: KINDS.get(name) ?? kindOf(status, name) }
}

/**
 * Services of AWS name every failure, so a failure without a name comes from something in between.
 */
function kindOf(status: number, name: string): Fault['kind'] {
  if (status === 429) return 'throttled'
  if (status >= 500) return 'passing'
  return name === '' ? 'foreign' : 'other'
}

/** What messages say of an answer that does not come from AWS. */
export const NOT_OF_AWS =
  'not in the words of AWS: is there a proxy in between, or another service at this address?'

function nameIn(text: string): string | undefined {
  const json = v.safeParse(jsonFault, text)
  return json.success ? json.output.__type : /<Code>([^<]*)<\/Code>/.exec(text)?.[1]
}

/**
 * Gets the name out of `com.amazonaws.kms#NotFoundException:https://…`; nothing but the name is
 * passed on.
 */
function plainName(text: string): string {
  return /^(?:.*#)?([A-Za-z][A-Za-z0-9.]{0,63})(?::.*)?$/s.exec(text)?.[1] ?? ''
}
