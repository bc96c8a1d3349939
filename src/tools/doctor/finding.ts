/** What doctor finds. Every id stands in docs/doctor.md. @module */

import type { Remark } from '../../base/provider.ts'

/** `skipped` says what could not be looked at, and why. */
export type Level = 'ok' | 'skipped' | Remark['level']

export interface Finding {
  /** Stable, for scripts. */
  readonly id: string
  readonly level: Level
  /** What is so, and where. */
  readonly what: string
  readonly why?: string
  readonly todo?: string
}

export function ok(id: string, what: string): Finding {
  return { id, level: 'ok', what }
}

export function skipped(id: string, what: string): Finding {
  return { id, level: 'skipped', what }
}

/** A finding of each that holds. */
export function found(holds: boolean, finding: Finding): Finding[] {
  return holds ? [finding] : []
}
