/**
 * Makes a failing history smaller: leaves out as many steps as it can while what is left still
 * breaks the same rule (delta debugging). Histories race, so each attempt has more than one try.
 *
 * @module
 */

import type { History, Step } from './steps.ts'

const TRIES = 2
const MAX_ATTEMPTS = 120

/** @param breaks the rule that a history breaks, if any */
export async function shrink(
  history: History,
  rule: string,
  breaks: (history: History) => Promise<string | undefined>,
): Promise<History> {
  let attempts = 0
  const fails = async (steps: readonly Step[]): Promise<boolean> => {
    for (let turn = 0; turn < TRIES && attempts < MAX_ATTEMPTS; turn += 1) {
      attempts += 1
      if ((await breaks({ ...history, steps })) === rule) return true
    }
    return false
  }
  let steps = history.steps
  for (let size = Math.ceil(steps.length / 2); size >= 1; ) {
    const smaller = await without(steps, size, fails)
    if (smaller === undefined) size = size === 1 ? 0 : Math.ceil(size / 2)
    else {
      steps = smaller
      size = Math.min(size, Math.max(Math.ceil(steps.length / 2), 1))
    }
  }
  return { ...history, steps }
}

/** The first that still fails without `size` steps in a row; undefined where none does. */
async function without(
  steps: readonly Step[],
  size: number,
  fails: (steps: readonly Step[]) => Promise<boolean>,
): Promise<readonly Step[] | undefined> {
  for (let from = 0; from < steps.length; from += size) {
    const left = [...steps.slice(0, from), ...steps.slice(from + size)]
    if (await fails(left)) return left
  }
  return undefined
}
