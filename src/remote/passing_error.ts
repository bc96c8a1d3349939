/** Waiting out what passes, such as a rate limit, as long as the request's time allows. @module */

import { retry } from '../base/attempts/retry.ts'
import { retryAfterMs } from '../base/attempts/retry_after.ts'
import type { Clock } from '../base/clock.ts'
import { KmsError, type KmsErrorOptions } from '../base/errors.ts'
import type { Call } from '../base/provider.ts'
import type { HttpAnswer } from './http/client.ts'

/** A failure after which the same request may succeed. */
export class PassingError extends KmsError {
  /** How long the service asked to wait; 0 where it did not. */
  readonly waitMs: number

  constructor(message: string, options: KmsErrorOptions & { readonly waitMs?: number }) {
    super(message, options)
    this.waitMs = options.waitMs ?? 0
  }
}

export interface RetryDeps {
  readonly clock: Clock
  /** From 0 to 1; for jitter alone. */
  readonly random: () => number
}

/** Repeats `attempt` after every {@link PassingError}, while the answer could still come in time. */
export function retryPassing<T>(
  attempt: () => Promise<T>,
  call: Call,
  { clock, random, firstMs = 100 }: RetryDeps & { readonly firstMs?: number },
): Promise<T> {
  const mayPass = (error: unknown) => error instanceof PassingError
  const waitMs = (error: unknown) => (error instanceof PassingError ? error.waitMs : 0)
  return retry(attempt, { clock, random, mayPass, waitMs, firstPauseMs: firstMs }, call)
}

/**
 * The temporary failure that a status stands for; undefined for another status.
 *
 * @param also statuses that mean the same at this service
 */
export function passingFailure(
  { status, header }: HttpAnswer,
  action: string,
  also: readonly number[] = [],
): PassingError | undefined {
  const limited = status === 429
  if (!limited && status < 500 && status !== 408 && !also.includes(status)) return undefined
  const why = limited ? 'it limits the rate of requests' : 'it does not serve now'
  return new PassingError(`${action} answered ${status}: ${why}`, {
    code: limited ? 'throttled' : 'unavailable',
    waitMs: retryAfterMs(header('retry-after')) ?? 0,
  })
}
