/**
 * What a key service put on a token or on the credentials that takes the plugin down
 * later although every login works today: told once, ahead.
 *
 * @module
 */

import type { EventSink } from '../kms/events.ts'

export interface Restriction {
  /** Stable, for alerts and for doctor. */
  readonly id:
    | 'elsewhere'
    | 'bound'
    | 'ends'
    | 'parent'
    | 'period'
    | 'secret-id-uses'
    | 'secret-id-ends'
  /** `info` for what is right as long as the operator knows of it. */
  readonly level: 'info' | 'warn'
  /** What is so, what comes of it, and what to do. */
  readonly message: string
}

/** The notice's name in the log. */
export const RESTRICTED = 'token_restricted'

/** @param told ids that were told before */
export function tellOnce(
  restrictions: readonly Restriction[],
  told: Set<string>,
  { events, provider }: { readonly events: EventSink; readonly provider: string },
): void {
  for (const { id, level, message } of restrictions) {
    if (told.has(id)) continue
    told.add(id)
    const fields = { provider, restriction: id }
    events.emit({ type: 'notice', level, what: RESTRICTED, message, fields })
  }
}
