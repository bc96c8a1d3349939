/**
 * Failures this plugin tells apart (design §10).
 *
 * Code and message go to the API server and to the log, so neither may carry
 * key material, tokens, URL queries or a service's answer. What a foreign error
 * said belongs into `cause`, which only the log may read.
 *
 * @module
 */

/** Stable names: operators alert on them, so renaming one is a breaking change. */
export const KMS_ERROR_CODES = [
  'request_invalid',
  'ciphertext_invalid',
  'ciphertext_empty',
  'key_unknown',
  'key_unavailable',
  'unbound',
  'denied',
  'policy_denied',
  'throttled',
  'unavailable',
  'timeout',
  'cancelled',
  'protocol',
  'internal',
] as const
export type KmsErrorCode = (typeof KMS_ERROR_CODES)[number]

export interface KmsErrorOptions extends ErrorOptions {
  readonly code: KmsErrorCode
}

export class KmsError extends Error {
  override readonly name = 'KmsError'
  readonly code: KmsErrorCode

  constructor(message: string, options: KmsErrorOptions) {
    super(message, options)
    this.code = options.code
  }
}

/** Anything thrown, as a {@link KmsError}: what is not one already is a fault of ours and keeps its words in `cause`. */
export function toKmsError(error: unknown): KmsError {
  if (error instanceof KmsError) return error
  return new KmsError('Internal error', { code: 'internal', cause: error })
}

/** The first system or library code down the chain of causes, such as `ECONNREFUSED`. */
export function systemCodeOf(error: unknown): string | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if (!(at instanceof KmsError) && 'code' in at && typeof at.code === 'string') return at.code
  }
  return undefined
}
