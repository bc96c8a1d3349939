/** What `/statusz` shows of the rules. @module */

import type { KmsEvent, RuleOutcome } from '../base/events.ts'

interface Asked {
  /** Requests since the start for which the rule did not pass. */
  readonly count: number
  readonly last: { readonly at: string; readonly outcome: RuleOutcome; readonly message: string }
}

export class PolicyReport {
  readonly #now: () => number
  #state: Extract<KmsEvent, { type: 'policy_state' }> | undefined
  /** By the rule's name. */
  readonly #asked = new Map<string, Asked>()

  /** @param now milliseconds since the epoch */
  constructor(now: () => number) {
    this.#now = now
  }

  take(event: KmsEvent): void {
    if (event.type === 'policy_state') this.#state = event
    if (event.type !== 'policy') return
    const { rule, outcome, message } = event
    const count = (this.#asked.get(rule)?.count ?? 0) + 1
    this.#asked.set(rule, { count, last: { at: timeOf(this.#now()), outcome, message } })
  }

  /** Undefined where there are no rules. */
  json() {
    if (this.#state === undefined) return undefined
    const { rules, waiver } = this.#state
    return {
      rules: rules.map((rule) => ({ ...rule, requests: this.#asked.get(rule.name) })),
      waiver: waiver && { ...waiver, until: timeOf(waiver.until) },
    }
  }
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString()
}
