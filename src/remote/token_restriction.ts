/**
 * What a key service put on a token or on the credentials that takes the plugin down
 * later although every login works today: told ahead, once.
 *
 * @module
 */

import type { EventSink } from '../base/events.ts'

export const RESTRICTION_IDS = [
  'elsewhere',
  'bound',
  'ends',
  'parent',
  'period',
  'secret-id-uses',
  'secret-id-ends',
] as const

export interface Restriction {
  /** Stable, for alerts and for doctor. */
  readonly id: (typeof RESTRICTION_IDS)[number]
  /** `info` for what is right as long as the operator knows of it. */
  readonly level: 'info' | 'warn'
  /** What is so, what comes of it, and what to do. */
  readonly message: string
}

/**
 * Tells those that are new.
 *
 * @param before ids of those that the login before met
 * @returns ids of those that there are now
 */
export function tellNew(
  restrictions: readonly Restriction[],
  before: ReadonlySet<string>,
  { events, provider }: { readonly events: EventSink; readonly provider: string },
): ReadonlySet<string> {
  for (const { id, level, message } of restrictions) {
    if (before.has(id)) continue
    const fields = { provider, restriction: id }
    events.emit({ type: 'notice', level, what: 'token_restricted', message, fields })
  }
  return new Set(restrictions.map(({ id }) => id))
}
