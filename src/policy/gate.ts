/**
 * Decides over each use of a key: the rules, what waives them, and the outside decision. What was
 * decided of a kind of use holds until a fact changes, so that a request costs one look into a map,
 * however many rules there are.
 *
 * @module
 */

import { KmsError } from '../base/errors.ts'
import type { EventSink, KmsEvent } from '../base/events.ts'
import type { Gate, KeyUse } from '../base/gate.ts'
import type { Call } from '../base/provider.ts'
import type { OpaDecisions, OpaUse, OpaVerdict } from './opa.ts'
import type { AskedUse, BoundFacts, Rule } from './rules.ts'
import type { Waiver } from './waiver_text.ts'

/** What a gate decides by; it is as it is now each time it is asked. */
interface Deciders {
  readonly rules: readonly Rule[]
  /** Undefined where there are no rules. */
  readonly facts: () => BoundFacts | undefined
  readonly waiverOf: (rule: string) => Waiver | undefined
  readonly opa: { readonly decisions: OpaDecisions; readonly mode: 'enforce' | 'audit' } | undefined
  /** Settles when the facts have been read for the first time. */
  readonly ready: Promise<void>
  readonly events: EventSink
}

type PolicyEvent = Extract<KmsEvent, { type: 'policy' }>

interface Decision {
  readonly refusal: KmsError | undefined
  /** What is told of each request that it decides. */
  readonly told: readonly PolicyEvent[]
}

/** More kinds than a plugin has providers and versions; sizes may make more. */
const MAX_KINDS = 512
/** The outside decision has a name as rules have. */
export const OPA_RULE = 'opa'

export class RuleGate implements Gate {
  readonly #endpoint: string
  readonly #deciders: Deciders
  readonly #asksSize: boolean
  readonly #decisions = new Map<string, Decision>()
  #isReady = false

  constructor(endpoint: string, deciders: Deciders) {
    this.#endpoint = endpoint
    this.#deciders = deciders
    this.#asksSize = deciders.rules.some(({ used }) => used.has('request.size'))
    void deciders.ready.then(() => {
      this.#isReady = true
    })
  }

  refusal(use: KeyUse): KmsError | undefined {
    const decision = this.#decide(use)
    return decision.refusal ?? this.#refusalOutside(use, this.#verdictOf(use))
  }

  wait(use: KeyUse, call: Call): Promise<void> | undefined {
    const { opa, ready } = this.#deciders
    const first = this.#isReady ? undefined : ready
    // An audit holds up nothing.
    if (opa?.mode !== 'enforce' || !opa.decisions.guards(use)) return first
    // Asked before the facts are read, it would decide over facts that nobody knows.
    const ask = () => opa.decisions.firstAnswer(this.#outside(use), call)
    return first === undefined ? ask() : first.then(ask)
  }

  admit(use: KeyUse): KmsError | undefined {
    const { refusal, told } = this.#decide(use)
    for (const event of told) this.#tell(event, use)
    if (refusal !== undefined) return refusal
    const verdict = this.#verdictOf(use)
    if (verdict === undefined || verdict.allowed) return undefined
    const mode = this.#deciders.opa?.mode ?? 'enforce'
    const outcome = outcomeOf(this.#deciders.waiverOf(OPA_RULE), mode)
    this.#tell(this.#event(use, OPA_RULE, mode, outcome, verdict.why), use)
    return this.#refusalOutside(use, verdict)
  }

  /** Facts or waivers are others now. */
  forget(): void {
    this.#decisions.clear()
  }

  #tell(event: PolicyEvent, { record }: KeyUse): void {
    this.#deciders.events.emit(event)
    const { rule, mode, outcome, operation, provider } = event
    record?.decisions.push({ rule, mode, outcome, operation, provider })
  }

  #verdictOf(use: KeyUse): OpaVerdict | undefined {
    const { opa } = this.#deciders
    if (opa?.decisions.guards(use) !== true) return undefined
    return opa.decisions.verdict(this.#outside(use))
  }

  #outside({ operation, api, provider }: KeyUse): OpaUse {
    return { operation, api, provider, endpoint: this.#endpoint }
  }

  #refusalOutside(use: KeyUse, verdict: OpaVerdict | undefined): KmsError | undefined {
    const { opa, waiverOf } = this.#deciders
    if (verdict === undefined || verdict.allowed || opa?.mode !== 'enforce') return undefined
    if (waiverOf(OPA_RULE) !== undefined) return undefined
    return refused(`An outside decision refuses ${use.operation}: ${verdict.why}`)
  }

  #decide(use: KeyUse): Decision {
    const { operation, api, provider, keyVersion, size } = use
    const kind = `${operation} ${api} ${provider} ${keyVersion} ${this.#asksSize ? size : ''}`
    const known = this.#decisions.get(kind)
    if (known !== undefined) return known
    if (this.#decisions.size >= MAX_KINDS) this.#decisions.clear()
    const decision = this.#decideAnew({ ...use, endpoint: this.#endpoint })
    this.#decisions.set(kind, decision)
    return decision
  }

  #decideAnew(use: AskedUse): Decision {
    const { rules, facts } = this.#deciders
    const bound = facts()
    if (bound === undefined) return { refusal: undefined, told: [] }
    const told = rules.flatMap((rule) => this.#ask(rule, bound, use) ?? [])
    const first = told.find(({ outcome }) => outcome === 'refused')
    const refusal =
      first && refused(`Rule "${first.rule}" refuses ${use.operation}: ${first.message}`)
    return { refusal, told }
  }

  /** What is told of it; undefined where it passes or does not guard this use. */
  #ask(rule: Rule, facts: BoundFacts, use: AskedUse): PolicyEvent | undefined {
    if (!rule.guards(use)) return undefined
    const verdict = rule.ask(facts, use)
    if (verdict.state === 'passes') return undefined
    const { name, mode } = rule.config
    const outcome = rule.isAgainst(verdict)
      ? outcomeOf(this.#deciders.waiverOf(name), mode)
      : 'undecided'
    return this.#event(use, name, mode, outcome, rule.words(verdict))
  }

  #event(
    { operation, provider }: KeyUse,
    rule: string,
    mode: PolicyEvent['mode'],
    outcome: PolicyEvent['outcome'],
    message: string,
  ): PolicyEvent {
    const endpoint = this.#endpoint
    return { type: 'policy', endpoint, rule, mode, outcome, operation, provider, message }
  }
}

function outcomeOf(waiver: Waiver | undefined, mode: 'enforce' | 'audit'): PolicyEvent['outcome'] {
  if (mode === 'audit') return 'would_refuse'
  return waiver === undefined ? 'refused' : 'waived'
}

function refused(message: string): KmsError {
  return new KmsError(message, { code: 'policy_denied' })
}
