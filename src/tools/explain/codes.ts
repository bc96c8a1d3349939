/**
 * What each error code means; what to do about it is in `base/remedies.ts`. `trousseau explain` and
 * docs/reference.md are made of both; the compiler keeps them whole.
 *
 * @module
 */

import type { KmsErrorCode } from '../../base/errors.ts'

export interface CodeEntry {
  /** The gRPC status that an API server sees. */
  readonly status: string
  readonly means: string
}

export const CODES: Readonly<Record<KmsErrorCode, CodeEntry>> = {
  request_invalid: {
    status: 'INVALID_ARGUMENT',
    means:
      'The request, the command or its file is not as the protocol or the command wants it: too long, empty, or of another form.',
  },
  ciphertext_invalid: {
    status: 'INVALID_ARGUMENT',
    means:
      'What was to be opened was changed, is cut off, or was written by another plugin or under another key id.',
  },
  ciphertext_empty: {
    status: 'INVALID_ARGUMENT',
    means: 'A Decrypt came without a ciphertext.',
  },
  key_unknown: {
    status: 'NOT_FOUND',
    means: 'No provider of the config has the key that something was encrypted with.',
  },
  key_unavailable: {
    status: 'FAILED_PRECONDITION',
    means:
      'The key service answers, and the key cannot be used: it is disabled, deleted, of a wrong type, or lacks a version.',
  },
  unbound: {
    status: 'FAILED_PRECONDITION',
    means:
      'The key service does not heed what a wrap is bound to, or a wrap was made by one that did not.',
  },
  denied: {
    status: 'PERMISSION_DENIED',
    means:
      'The key service refused the login or the request, or the file with the credentials cannot be read.',
  },
  policy_denied: {
    status: 'PERMISSION_DENIED',
    means:
      'A rule of this plugin, Open Policy Agent, or a policy at the cloud forbids the operation.',
  },
  throttled: {
    status: 'RESOURCE_EXHAUSTED',
    means: 'The key service has had too many requests, of this plugin or of others.',
  },
  unavailable: {
    status: 'UNAVAILABLE',
    means:
      'The key service, the socket or a file system cannot be reached, or nothing is known of them yet.',
  },
  timeout: {
    status: 'DEADLINE_EXCEEDED',
    means: 'No answer came inside requestTimeout, or inside the time that the client gave.',
  },
  cancelled: {
    status: 'CANCELLED',
    means: 'The client gave the request up before it was answered, or the plugin stops.',
  },
  protocol: {
    status: 'INTERNAL',
    means: 'What answered is not the key service, or not as its interface says.',
  },
  internal: {
    status: 'INTERNAL',
    means: 'A fault of Trousseau itself.',
  },
}
