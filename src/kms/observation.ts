/** What is known of a provider by the probes until now. @module */

import type { KmsError, KmsErrorCode } from '../base/errors.ts'
import type { ProbeResult } from './probe.ts'

/** Replaced as a whole, never changed. */
export interface Observation {
  readonly ok: boolean
  /** The last good answer. */
  readonly known: ProbeResult | undefined
  /** Why it is not ok; undefined before the first answer too. */
  readonly error: KmsError | undefined
  /** Since when it has been ok, or has not been, in monotonic milliseconds. */
  readonly since: number
  /** When it last was ok, in monotonic milliseconds. */
  readonly lastSuccess: number | undefined
  /** Round trips that failed since it last was ok. */
  readonly failures: number
}

/** Failures of the way to the key, which pass; every other one is about the key itself. */
const OUTAGE: ReadonlySet<KmsErrorCode> = new Set([
  'unavailable',
  'timeout',
  'throttled',
  'cancelled',
  'protocol',
  'internal',
])

/** True where the key itself is the problem: it is denied, disabled or deleted. */
export function isLost({ error }: Observation): boolean {
  return error !== undefined && !OUTAGE.has(error.code)
}

/** False before the first answer. */
export function wasAsked({ known, error }: Observation): boolean {
  return known !== undefined || error !== undefined
}
