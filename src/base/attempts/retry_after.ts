/** How long a service asks to wait before the next attempt. @module */

/** More would be no pause but an end. */
const SECONDS = /^\d{1,6}$/

/**
 * Of the header `Retry-After`, in milliseconds; undefined where it is absent or no number of
 * whole seconds. A date counts as nothing: it goes by a clock that may not be this node's.
 */
export function retryAfterMs(header: string | undefined): number | undefined {
  return header !== undefined && SECONDS.test(header) ? Number(header) * 1_000 : undefined
}
