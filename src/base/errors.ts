/**
 * The failures that this plugin distinguishes (docs/observability.md, "Error codes").
 *
 * Code and message go to the API server and to the log, so neither may carry key material, tokens,
 * URL queries or a service's answer. The text of any other error belongs into `cause`, which only
 * the log may read.
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

/** What a status, a code or a phrase of another program means here. */
export interface FailureMeaning {
  readonly code: KmsErrorCode
  readonly why: string
}

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

/**
 * Turns anything thrown into a {@link KmsError}. What is not one already is a bug of this program,
 * and keeps its text in `cause`.
 */
export function toKmsError(error: unknown): KmsError {
  if (error instanceof KmsError) return error
  return new KmsError('Internal error', { code: 'internal', cause: error })
}

/** The first code of the system or a library in the chain of causes, such as `ECONNREFUSED`. */
export function systemCodeOf(error: unknown): string | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if (!(at instanceof KmsError) && 'code' in at && typeof at.code === 'string') return at.code
  }
  return undefined
}

/** What the system's codes mean, in words for an operator. */
const SYSTEM_WORDS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  ERR_ACCESS_DENIED: 'permission denied by the sandbox of this program',
  EBUSY: 'somebody else uses it',
  ECONNREFUSED: 'nobody listens there',
  ECONNRESET: 'the connection was closed',
  EDQUOT: 'the quota is used up',
  EEXIST: 'it is there already',
  EFBIG: 'the file would be larger than is allowed',
  EIO: 'the device failed',
  EISDIR: 'it is a folder, and a file is wanted',
  ELOOP: 'its links lead in a circle',
  EMFILE: 'too many files are open',
  ENAMETOOLONG: 'the name is too long',
  ENOENT: 'there is no such file or folder',
  ENOSPC: 'no space left',
  ENOTDIR: 'a part of the path is a file, and no folder',
  ENOTFOUND: 'the name does not resolve',
  // Of `readSmallFile`.
  NOT_A_FILE: 'it is a pipe or a device, and a file is wanted',
  TOO_LONG: 'it is longer than 4 MiB',
  EROFS: 'the file system can only be read',
  ETIMEDOUT: 'no answer in time',
}

/** The reason why the system refused something, in words; its code where there are none. */
export function systemReasonOf(error: unknown): string {
  if (error instanceof Error && error.name === 'TimeoutError') return 'no answer in time'
  const code = systemCodeOf(error) ?? 'unknown error'
  return SYSTEM_WORDS[code] ?? code
}
