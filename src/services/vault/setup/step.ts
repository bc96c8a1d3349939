/**
 * A step of setting up a key service: what a person types for it, and how it is
 * seen and done over the API. The script and the plan are made from the same
 * steps, so that they cannot tell different things. Whatever can be known to fail
 * is found while planning, before anything is changed.
 *
 * @module
 */

import { KmsError } from '../../../base/errors.ts'
import { VaultStatusError } from '../api.ts'
import type { VaultAdmin } from './admin.ts'
import { missingRights, type Need } from './rights.ts'

export interface SetupStep {
  /** What is set up, for the plan. */
  readonly what: string
  /** Lines for the operator: what it is for, what to look out for. */
  readonly why: readonly string[]
  /** Lines of shell. */
  readonly commands: readonly string[]
  /** Lines of shell that end the script before anything is changed, where it would replace what is another's. */
  readonly guard?: readonly string[]
  /** The commands have `<...>` in them that somebody has to fill in. */
  readonly fillIn?: true
  /** How things stand; nothing is changed. */
  look(admin: VaultAdmin): Promise<StepFinding>
  /** Does what {@link look} found missing. Without it the step is by hand alone. */
  apply?(admin: VaultAdmin, finding: StepFinding): Promise<void>
  /** The requests of {@link apply}, so that the plan can tell whether the token may make them. */
  needs?(finding: StepFinding): readonly Need[]
}

const SETUP_STATES = ['ok', 'make', 'change', 'by hand', 'refused'] as const
/** `refused`: something else stands there, and nobody but the operator may change it. */
export type SetupState = (typeof SETUP_STATES)[number]

export interface StepFinding {
  readonly state: SetupState
  readonly detail: string
  /** Shows what is there, which only the operator can tell to be right. */
  readonly compareWith?: string
}

export interface Planned {
  readonly step: SetupStep
  readonly finding: StepFinding
}

export async function planSetup(
  steps: readonly SetupStep[],
  admin: VaultAdmin,
): Promise<readonly Planned[]> {
  const plan: Planned[] = []
  for (const step of steps) plan.push({ step, finding: await look(step, admin) })
  const needs = plan.map((planned) =>
    isToDo(planned) ? (planned.step.needs?.(planned.finding) ?? []) : [],
  )
  const missing = await missingRights(needs, admin)
  return plan.map(({ step, finding }, at): Planned => {
    const detail = missing[at]
    return { step, finding: detail === undefined ? finding : { state: 'refused', detail } }
  })
}

/** A file here that cannot be used stands in the way of its step; a service that refuses ends the plan. */
async function look(step: SetupStep, admin: VaultAdmin): Promise<StepFinding> {
  try {
    return await step.look(admin)
  } catch (error) {
    const ofFile = error instanceof KmsError && !(error instanceof VaultStatusError)
    if (!ofFile || error.code !== 'denied') throw error
    return { state: 'refused', detail: error.message }
  }
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
