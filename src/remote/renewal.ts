/**
 * When a token or credentials are renewed: well before they end, not on all nodes at once, and
 * after a failure soon again. What that does, and what it does not do for dead ones, is up to
 * whoever holds them.
 *
 * @module
 */

import type { Clock } from '../base/clock.ts'
import { KmsError } from '../base/errors.ts'
import type { EventSink } from '../base/events.ts'

interface RenewalDeps {
  readonly clock: Clock
  /** From 0 to 1; for jitter alone. */
  readonly random: () => number
}

const RENEW_AT = 0.7
const RENEW_JITTER = 0.1
export const FIRST_RETRY_MS = 1_000
const MAX_RETRY_MS = 30_000

export class Renewal {
  readonly #deps: RenewalDeps
  readonly #renew: () => void
  #retryMs = FIRST_RETRY_MS
  #cancelTimer: () => void = () => undefined
  #closed = false

  constructor(deps: RenewalDeps, renew: () => void) {
    this.#deps = deps
    this.#renew = renew
  }

  /** In time for what lives so long from now on; failures of before are forgotten. */
  inTimeFor(lifeMs: number, leastMs = 0): void {
    const part = RENEW_AT + RENEW_JITTER * (this.#deps.random() - 0.5)
    this.after(Math.max(lifeMs * part, leastMs))
  }

  /** After `ms`; failures of before are forgotten. */
  after(ms: number): void {
    this.#retryMs = FIRST_RETRY_MS
    this.#schedule(ms)
  }

  /**
   * Again, after pauses that grow.
   *
   * @returns how long this one is
   */
  afterFailure(): number {
    const ms = this.#retryMs * (0.75 + 0.5 * this.#deps.random())
    this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS)
    this.#schedule(ms)
    return ms
  }

  /** Until there is another one to renew. */
  cancel(): void {
    this.#cancelTimer()
  }

  close(): void {
    this.#closed = true
    this.#cancelTimer()
  }

  #schedule(ms: number): void {
    this.#cancelTimer()
    if (this.#closed) return
    this.#cancelTimer = this.#deps.clock.after(ms, this.#renew)
  }
}

/** What whoever keeps a token or credentials for a provider needs. */
export interface HolderDeps extends RenewalDeps {
  readonly events: EventSink
  /** The provider's name, for events. */
  readonly provider: string
  /** Time limit of one attempt. */
  readonly requestTimeoutMs: number
}

/** @param outcome the life in seconds, or why there is none */
export function tellToken(
  { events, provider }: Pick<HolderDeps, 'events' | 'provider'>,
  { action, method }: { readonly action: 'login' | 'renew'; readonly method: string },
  outcome: number | KmsError,
): void {
  const base = { type: 'token', provider, action, method } as const
  if (outcome instanceof KmsError) events.emit({ ...base, code: outcome.code, error: outcome })
  else events.emit({ ...base, code: 'ok', ttlSeconds: outcome })
}
