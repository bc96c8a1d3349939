/** What a rule of the probe is, and how it reports what it saw. @module */

import type { Probe } from './probe.ts'

export type Result = 'pass' | 'warn' | 'fail' | 'skipped'

export interface RuleFinding {
  /** Its number in `docs/contract.md`, or in the contract of `docs/signer.md`. */
  readonly rule: string
  readonly title: string
  readonly result: Result
  /** What was seen; never a plaintext or a ciphertext. */
  readonly detail: string
}

export interface Rule<P = Probe> {
  readonly id: string
  readonly title: string
  /** What breaking the rule means. */
  readonly broken: 'fail' | 'warn'
  /** Set where nothing after this rule can be probed when it is broken: the reason. */
  readonly gate?: string
  /**
   * Returns what to report when the rule is kept.
   *
   * @throws Broken, NotSeen, or any other error, which counts as a broken rule too
   */
  run(probe: P): Promise<string> | string
}

/** What another rule is about, for a rule that only needs it. */
export async function needed<T>(what: string, answer: Promise<T>): Promise<T> {
  return await answer.catch((cause: unknown) => {
    throw new NotSeen(`needs ${what}`, { cause })
  })
}

/** A rule without which kube-apiserver or the data suffers. */
export function must<P = Probe>(
  id: string,
  title: string,
  run: Rule<P>['run'],
  gate?: string,
): Rule<P> {
  return { id, title, broken: 'fail', run, ...(gate === undefined ? {} : { gate }) }
}

/** A rule of good practice. */
export function should<P = Probe>(id: string, title: string, run: Rule<P>['run']): Rule<P> {
  return { id, title, broken: 'warn', run }
}

/** The rule is broken. */
export class Broken extends Error {
  override readonly name = 'Broken'
}

/** The plugin gives no opportunity to see whether the rule is kept. */
export class NotSeen extends Error {
  override readonly name = 'NotSeen'
}

export function expect(condition: boolean, problem: string): asserts condition {
  if (!condition) throw new Broken(problem)
}
