/**
 * A step of setting up a key service: what a person types for it, and how its state is found and
 * changed over the API. The script and the plan are made from the same steps, so that they cannot
 * differ. Whatever is known to fail is found while planning, before anything is changed.
 *
 * @module
 */

import { KmsError } from '../../../base/errors.ts'
import { VaultStatusError } from '../api.ts'
import type { VaultAdmin } from './admin.ts'
import { missingRights, type Need } from './rights.ts'

export interface SetupStep {
  /** What the step sets up, for the plan. */
  readonly what: string
  /** Lines for the operator: the purpose of the step, and what to watch for. */
  readonly why: readonly string[]
  /** Lines of shell. */
  readonly commands: readonly string[]
  /**
   * Lines of shell that end the script, before anything is changed, where it would replace what
   * belongs to others.
   */
  readonly guard?: readonly string[]
  /** The commands contain `<...>`, which somebody has to fill in. */
  readonly fillIn?: true
  /** Finds out the present state, and changes nothing. */
  look(admin: VaultAdmin): Promise<StepFinding>
  /** Does what {@link look} found missing. A step without it can only be done by hand. */
  apply?(admin: VaultAdmin, finding: StepFinding): Promise<void>
  /** The requests of {@link apply}, so that the plan can say whether the token may make them. */
  needs?(finding: StepFinding): readonly Need[]
}

const SETUP_STATES = ['ok', 'make', 'change', 'by hand', 'refused'] as const
/** `refused`: something exists that does not fit, and only the operator may change it. */
export type SetupState = (typeof SETUP_STATES)[number]

export interface StepFinding {
  readonly state: SetupState
  readonly detail: string
  /** The command that shows what exists, where only the operator can judge it. */
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

/**
 * A file on this machine that cannot be used refuses its own step; a failure of the service ends
 * the plan.
 */
async function look(step: SetupStep, admin: VaultAdmin): Promise<StepFinding> {
  try {
    return await step.look(admin)
  } catch (error) {
    const ofFile = error instanceof KmsError && !(error instanceof VaultStatusError)
    if (!ofFile || error.code !== 'denied') throw error
    return { state: 'refused', detail: error.message }
  }
}

/** Does the steps in order, since later ones depend on earlier ones. */
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
