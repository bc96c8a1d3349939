/**
 * A step of setting up a key service: what a person types for it, and how it is
 * seen and done over the API. The script and the plan are made from the same
 * steps, so that they cannot tell different things.
 *
 * @module
 */

import type { VaultAdmin } from './vault_setup_admin.ts'

export interface SetupStep {
  /** What is set up, for the plan. */
  readonly what: string
  /** Lines for the operator: what it is for, what to look out for. */
  readonly why: readonly string[]
  /** Lines of shell. */
  readonly commands: readonly string[]
  /** The commands have `<...>` in them that somebody has to fill in. */
  readonly fillIn?: true
  /** How things stand; nothing is changed. */
  look(admin: VaultAdmin): Promise<Finding>
  /** Does what {@link look} found missing. Without it the step is by hand alone. */
  apply?(admin: VaultAdmin, finding: Finding): Promise<void>
}

export const SETUP_STATES = ['ok', 'make', 'change', 'by hand', 'refused'] as const
/** `refused`: something else stands there, and nobody but the operator may change it. */
export type SetupState = (typeof SETUP_STATES)[number]

export interface Finding {
  readonly state: SetupState
  readonly detail: string
}

export interface Planned {
  readonly step: SetupStep
  readonly finding: Finding
}

export async function planSetup(
  steps: readonly SetupStep[],
  admin: VaultAdmin,
): Promise<readonly Planned[]> {
  const plan: Planned[] = []
  for (const step of steps) plan.push({ step, finding: await step.look(admin) })
  return plan
}

/** Does the steps in their order, since the later stand on the earlier. */
export async function applySetup(
  plan: readonly Planned[],
  admin: VaultAdmin,
  done: (planned: Planned) => void,
): Promise<void> {
  for (const planned of plan) {
    if (!isToDo(planned)) continue
    await planned.step.apply?.(admin, planned.finding)
    done(planned)
  }
}

export function isToDo({ finding: { state } }: Planned): boolean {
  return state === 'make' || state === 'change'
}
