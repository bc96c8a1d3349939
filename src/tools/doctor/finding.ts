/** A finding of doctor. docs/doctor.md explains every id. @module */

import type { Remark } from '../../base/provider.ts'

/** `skipped` says what could not be checked, and why. */
export type Level = 'ok' | 'skipped' | Remark['level']

export interface Finding {
  /** Stable, for scripts. */
  readonly id: string
  readonly level: Level
  /** What was found, and where. */
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

/** The finding as a list where it holds, and otherwise an empty list. */
export function found(holds: boolean, finding: Finding): Finding[] {
  return holds ? [finding] : []
}
