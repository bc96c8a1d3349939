/**
 * The only place that knows which gRPC status a {@link KmsError} becomes (docs/observability.md,
 * "Error codes").
 *
 * @module
 */

import { status } from '@grpc/grpc-js'
import type { KmsError, KmsErrorCode } from '../base/errors.ts'

const STATUS_OF = {
  request_invalid: status.INVALID_ARGUMENT,
  ciphertext_invalid: status.INVALID_ARGUMENT,
  ciphertext_empty: status.INVALID_ARGUMENT,
  key_unknown: status.NOT_FOUND,
  key_unavailable: status.FAILED_PRECONDITION,
  unbound: status.FAILED_PRECONDITION,
  denied: status.PERMISSION_DENIED,
  policy_denied: status.PERMISSION_DENIED,
  throttled: status.RESOURCE_EXHAUSTED,
  unavailable: status.UNAVAILABLE,
  timeout: status.DEADLINE_EXCEEDED,
  cancelled: status.CANCELLED,
  protocol: status.INTERNAL,
  internal: status.INTERNAL,
} as const satisfies Record<KmsErrorCode, status>

/** Such as `INVALID_ARGUMENT`. */
export function statusNameOf(code: KmsErrorCode | 'ok'): string {
  return status[code === 'ok' ? status.OK : STATUS_OF[code]]
}

/** An internal error may quote anything, so its words stay in the log. */
export function toStatus({ code, message }: KmsError): { code: status; details: string } {
  return { code: STATUS_OF[code], details: code === 'internal' ? 'Internal error' : message }
}
