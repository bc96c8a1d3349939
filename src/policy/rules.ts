/**
 * What each rule says of the facts as they are. A rule is asked again only after a fact that it
 * names has changed.
 *
 * @module
 */

import type { RuleState } from '../base/events.ts'
import type { KeyUse } from '../base/gate.ts'
import type { CompiledRule } from './cel/compile.ts'
import { type Bindings, celValue } from './cel/library.ts'
import type { RuleConfig } from './config.ts'
import { type Facts, type FactValue, treeOf, Unknown } from './facts/value.ts'
import { type FactSpec, requestSpecs } from './facts/vocabulary.ts'

type Verdict =
  | { readonly state: 'passes' }
  | { readonly state: 'refuses' }
  /** It gave neither true nor false, and why. */
  | { readonly state: 'undecided'; readonly why: string }

/** A use of a key at one endpoint. */
export interface AskedUse extends KeyUse {
  readonly endpoint: string
}

export class Rule {
  readonly config: RuleConfig
  /** Whether it names facts of the request, so that it cannot be decided without one. */
  readonly asksRequest: boolean
  readonly #compiled: CompiledRule
  #verdict: Verdict | undefined

  constructor(config: RuleConfig, compiled: CompiledRule) {
    this.config = config
    this.#compiled = compiled
    this.asksRequest = [...compiled.used].some(isOfRequest)
  }

  get used(): ReadonlySet<string> {
    return this.#compiled.used
  }

  guards({ operation, provider }: KeyUse): boolean {
    const { guards, providers } = this.config
    return guards.includes(operation) && (providers?.includes(provider) ?? true)
  }

  /** True where the verdict may be another one now. */
  forget(changed: ReadonlySet<string>): boolean {
    if (![...this.used].some((path) => changed.has(path))) return false
    this.#verdict = undefined
    return true
  }

  /** @param use needed where the rule asks for the request */
  ask(facts: BoundFacts, use?: AskedUse): Verdict {
    if (!this.asksRequest) {
      this.#verdict ??= this.#ask(facts.bindings, facts)
      return this.#verdict
    }
    return this.#ask(use === undefined ? facts.bindings : facts.with(use), facts)
  }

  /** Whether it is against the use of a key: one that cannot be decided is as its config says. */
  isAgainst(verdict: Verdict): boolean {
    return verdict.state === 'undecided'
      ? this.config.unknown === 'refuse'
      : verdict.state === 'refuses'
  }

  /** What it says where it does not pass. */
  words(verdict: Verdict): string {
    const { message } = this.config
    return verdict.state === 'undecided' ? `${message}: ${verdict.why}` : message
  }

  /** What it says without a request. */
  state(facts: BoundFacts): RuleState {
    const { name, mode, guards } = this.config
    if (this.asksRequest) return { name, mode, guards, state: 'by_request' }
    const verdict = this.ask(facts)
    if (verdict.state === 'passes') return { name, mode, guards, state: 'passes' }
    const state = this.isAgainst(verdict) ? 'refuses' : 'undecided'
    return { name, mode, guards, state, message: this.words(verdict) }
  }

  #ask(bindings: Bindings, facts: BoundFacts): Verdict {
    const answer = this.#compiled.ask(bindings)
    if (answer === true) return PASSES
    if (answer === false) return REFUSES
    return { state: 'undecided', why: facts.whyUndecided(this.used) }
  }
}

/** The rules of a config, with what they need. */
export interface RuleBook {
  readonly rules: readonly Rule[]
  readonly bind: (facts: Facts, specs: readonly FactSpec[]) => BoundFacts
}

const PASSES: Verdict = { state: 'passes' }
const REFUSES: Verdict = { state: 'refuses' }

/** Facts as rules take them, made once for each state of the facts. */
export class BoundFacts {
  readonly bindings: Bindings
  readonly #facts: Facts

  constructor(facts: Facts, specs: readonly FactSpec[]) {
    this.#facts = facts
    this.bindings = boundOf(facts, specs)
  }

  with({ operation, api, endpoint, provider, keyVersion, size }: AskedUse): Bindings {
    const known = new Map<string, FactValue>(
      Object.entries({ operation, api, endpoint, provider, keyVersion, size }).map(
        ([name, value]) => [`request.${name}`, value],
      ),
    )
    return { ...this.bindings, ...boundOf(known, REQUEST) }
  }

  whyUndecided(used: ReadonlySet<string>): string {
    const unknown = [...used].flatMap((path) => {
      const fact = this.#facts.get(path)
      return fact instanceof Unknown ? `${path} is not known (${fact.why})` : []
    })
    return unknown.length > 0
      ? unknown.join('; ')
      : 'its expression fails with the facts as they are'
  }
}

const REQUEST = requestSpecs()

function isOfRequest(path: string): boolean {
  return path.startsWith('request.')
}

/** An unknown fact is a field that is not there: `has` tells, and anything else fails. */
function boundOf(facts: Facts, specs: readonly FactSpec[]): Bindings {
  return treeOf(
    specs.map(({ path, type }) => {
      const fact = facts.get(path)
      const isKnown = fact !== undefined && !(fact instanceof Unknown)
      return [path, isKnown ? celValue(fact, type) : undefined] as const
    }),
  ) as Bindings
}
