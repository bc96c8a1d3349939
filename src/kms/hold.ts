/**
 * For how long what a health view shows is answered, and what is said instead (rule S6). Pure,
 * as the view is.
 *
 * @module
 */

import { KmsError } from '../base/errors.ts'
import type { HealthView } from './health_view.ts'
import type { WriterRules } from './writers.ts'

const NO_ANSWER_YET = 'No answer of a key service yet'

export interface HoldLimits {
  /** How old a good view may get before it counts as an outage. */
  readonly staleAfterMs: number
  /** How long Status keeps answering the last key id while providers are away; 0 turns it off. */
  readonly outageHoldMs: number
}

/** Whether the key id of the view may still be answered. */
export function holds(
  { state, othersSuffice, lastSuccess }: HealthView,
  { staleAfterMs, outageHoldMs }: HoldLimits,
  { holdMs }: WriterRules,
  now: number,
): boolean {
  const age = now - (lastSuccess ?? Number.NEGATIVE_INFINITY)
  if (state !== 'held') return age <= staleAfterMs + outageHoldMs
  return age <= outageHoldMs || (othersSuffice && age <= holdMs + staleAfterMs)
}

/** How much longer the key id of a held view is answered; undefined for another one. */
export function holdLeftMs(
  { state, lastSuccess }: HealthView,
  { outageHoldMs }: HoldLimits,
  now: number,
): number | undefined {
  if (state !== 'held') return undefined
  return Math.max(outageHoldMs - (now - (lastSuccess ?? Number.NEGATIVE_INFINITY)), 0)
}

/** What is wrong, also while the key id is still answered. */
export function problemOf(
  { state, error, lastSuccess }: HealthView,
  { staleAfterMs }: HoldLimits,
  now: number,
): string | undefined {
  const settled = state === 'ok' || state === 'degraded'
  const fresh = now - (lastSuccess ?? Number.NEGATIVE_INFINITY) <= staleAfterMs
  if (settled && fresh) return undefined
  return error?.message ?? (settled ? 'Health loop is late' : NO_ANSWER_YET)
}

/** Why nothing may be written. */
export function refusalOf({ state, error }: HealthView): KmsError {
  const reason = error?.message ?? NO_ANSWER_YET
  if (state === 'failed') return error ?? new KmsError(reason, { code: 'unavailable' })
  const why = state === 'starting' ? 'Not ready yet' : 'Key service has been away too long'
  return new KmsError(`${why}: ${reason}`, { code: 'unavailable', cause: error })
}
