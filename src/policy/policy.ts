/**
 * Everything that the part `policy` of a config makes: the facts, the rules over them, the waiver
 * and the outside decision. It is loaded only where a config has that part.
 *
 * @module
 */

import { hostname } from 'node:os'
import type { Clock } from '../base/clock.ts'
import type { EventSink, RuleState } from '../base/events.ts'
import type { NodeFacts } from '../base/facts.ts'
import type { Gate } from '../base/gate.ts'
import type { PolicyConfig } from './config.ts'
import { FactKeeper } from './facts/keeper.ts'
import { sourcesOf } from './facts/sources.ts'
import { type FactType, shownFact, treeOf, Unknown } from './facts/value.ts'
import { type FactSpec, nodeSpecs } from './facts/vocabulary.ts'
import { OPA_RULE, RuleGate } from './gate.ts'
import { OpaDecisions } from './opa.ts'
import type { BoundFacts, Rule, RuleBook } from './rules.ts'
import { WaiverFile } from './waiver_file.ts'

export interface PolicyDeps {
  readonly clock: Clock
  readonly events: EventSink
  readonly version: string
  /** Paths of the sockets, by the name of their endpoint. */
  readonly sockets: Readonly<Record<string, string>>
  /** Names of the providers of each endpoint. */
  readonly providers: Readonly<Record<string, readonly string[]>>
  /** Facts that logins sign. */
  readonly claimed: readonly string[]
}

/** A machine id is needed to know whether a waiver is for this one. */
const OF_WAIVERS = ['node.name', 'node.machine']

export class Policy {
  /** Settles when all facts have been read, and the outside was asked, for the first time. */
  readonly ready: Promise<void>
  readonly facts: NodeFacts
  readonly #book: RuleBook | undefined
  readonly #config: PolicyConfig
  readonly #deps: PolicyDeps
  readonly #specs: ReadonlyMap<string, FactSpec>
  readonly #keeper: FactKeeper
  readonly #waiver: WaiverFile | undefined
  readonly #opa: OpaDecisions | undefined
  readonly #gates = new Map<string, RuleGate>()
  #bound: BoundFacts | undefined
  #told = ''
  #cancel: () => void = () => undefined
  #closed = false

  /**
   * Begins to read the facts.
   *
   * @param book undefined where there are no rules
   */
  constructor(config: PolicyConfig, book: RuleBook | undefined, deps: PolicyDeps) {
    const { clock, events } = deps
    this.#config = config
    this.#book = book
    this.#deps = deps
    const specs = nodeSpecs(config)
    this.#specs = new Map(specs.map((spec) => [spec.path, spec]))
    const { interval: intervalMs, seldom: seldomMs } = config
    this.#keeper = new FactKeeper(this.#sources(), this.#used(), { clock, intervalMs, seldomMs })
    this.#bound = book?.bind(this.#keeper.facts, specs)
    this.#waiver =
      config.waiver && new WaiverFile(config.waiver, { clock, events, here: () => this.#here() })
    this.#opa =
      config.opa &&
      new OpaDecisions(config.opa, {
        clock,
        events,
        facts: () => this.shown(),
        onChange: () => this.#tell(),
      })
    this.#keeper.onChange((changed) => this.#factsChanged(changed))
    const read = this.#keeper.start()
    this.facts = {
      ready: read,
      text: (path) => this.#text(path),
      onChange: (paths, run) =>
        this.#keeper.onChange((changed) => {
          if (paths.some((path) => changed.has(path))) run()
        }),
    }
    this.ready = this.#start(read)
  }

  /** Undefined where nothing guards a key, so that nothing is on the way of its requests. */
  gate(endpoint: string): Gate | undefined {
    if (this.#rules.length === 0 && this.#opa === undefined) return undefined
    const known = this.#gates.get(endpoint)
    if (known !== undefined) return known
    const { opa: config } = this.#config
    const gate = new RuleGate(endpoint, {
      rules: this.#rules,
      facts: () => this.#bound,
      waiverOf: (rule) => this.#waiver?.lifts(rule),
      opa: this.#opa && config && { decisions: this.#opa, mode: config.mode },
      ready: this.ready,
      events: this.#deps.events,
    })
    this.#gates.set(endpoint, gate)
    return gate
  }

  /** The facts as JSON, as far as they are read. */
  shown(): Readonly<Record<string, unknown>> {
    const shown = [...this.#keeper.facts].map(
      ([path, fact]) => [path, shownFact(fact, this.#typeOf(path))] as const,
    )
    return treeOf(shown)
  }

  get #rules(): readonly Rule[] {
    return this.#book?.rules ?? []
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancel()
    this.#keeper.stop()
    await this.#opa?.close()
  }

  async #start(read: Promise<void>): Promise<void> {
    await read
    await this.#waiver?.refresh()
    for (const gate of this.#gates.values()) gate.forget()
    await this.#opa?.prepare(this.#uses())
    this.#tell()
    this.#watchWaiver()
  }

  #watchWaiver(): void {
    const waiver = this.#waiver
    if (waiver === undefined || this.#closed) return
    this.#cancel = this.#deps.clock.after(this.#config.interval, () => {
      void waiver.refresh().then((changed) => {
        if (changed) this.#decideAnew()
        this.#watchWaiver()
      })
    })
  }

  #factsChanged(changed: ReadonlySet<string>): void {
    this.#bound = this.#book?.bind(this.#keeper.facts, [...this.#specs.values()])
    const forgot = this.#rules.map((rule) => rule.forget(changed)).includes(true)
    const stays = [...changed].every((path) => this.#specs.get(path)?.moves === true)
    if (!stays) this.#opa?.factsChanged()
    if (forgot) this.#decideAnew()
  }

  #decideAnew(): void {
    for (const gate of this.#gates.values()) gate.forget()
    this.#tell()
  }

  /** Tells what the rules say, where that is not what was told last. */
  #tell(): void {
    if (this.#closed) return
    const waiver = this.#waiver?.inForce
    const event = {
      type: 'policy_state',
      rules: [...this.#ruleStates(), ...this.#stateOutside()],
      waiver: waiver && { id: waiver.id, who: waiver.who, why: waiver.why, until: waiver.until },
    } as const
    const text = JSON.stringify(event)
    if (text === this.#told) return
    this.#told = text
    this.#deps.events.emit(event)
  }

  #ruleStates(): RuleState[] {
    const facts = this.#bound
    return facts === undefined ? [] : this.#rules.map((rule) => this.#stateOf(rule, facts))
  }

  #stateOf(rule: Rule, facts: BoundFacts): RuleState {
    const said = rule.state(facts)
    const { name, mode, state } = said
    const waived =
      mode === 'enforce' && state === 'refuses' && this.#waiver?.lifts(name) !== undefined
    return waived ? { ...said, state: 'waived' } : said
  }

  #stateOutside(): RuleState[] {
    const [opa, config] = [this.#opa, this.#config.opa]
    if (opa === undefined || config === undefined) return []
    const { mode, guards } = config
    const verdicts = this.#uses()
      .filter((use) => opa.guards(use))
      .map((use) => opa.verdict(use))
    const refused = verdicts.find((verdict) => !verdict.allowed)
    const base = { name: OPA_RULE, mode, guards }
    if (refused === undefined || refused.allowed) return [{ ...base, state: 'passes' }]
    const waived = mode === 'enforce' && this.#waiver?.lifts(OPA_RULE) !== undefined
    return [{ ...base, state: waived ? 'waived' : 'refuses', message: refused.why }]
  }

  /** What API servers ask for under v2, of which Status must know the answer. */
  #uses() {
    return Object.entries(this.#deps.providers).flatMap(([endpoint, names]) =>
      names.flatMap((provider) =>
        (['encrypt', 'decrypt'] as const).map((operation) => ({
          operation,
          api: 'v2',
          endpoint,
          provider,
        })),
      ),
    )
  }

  #sources() {
    const { roots, files, encryptionConfig, node = hostname() } = this.#config
    const { clock, version, sockets } = this.#deps
    return sourcesOf({
      roots,
      files,
      encryptionConfig,
      node,
      version,
      clock,
      sockets: Object.values(sockets),
    })
  }

  /** The outside is told everything. */
  #used(): ReadonlySet<string> | undefined {
    if (this.#config.opa !== undefined) return undefined
    const waiver = this.#config.waiver === undefined ? [] : OF_WAIVERS
    const used = this.#rules.flatMap((rule) => [...rule.used])
    return new Set([...used, ...this.#deps.claimed, ...waiver])
  }

  #here() {
    const of = (path: string) => {
      const fact = this.#keeper.facts.get(path)
      return typeof fact === 'string' ? fact : undefined
    }
    return { node: of('node.name') ?? '', machine: of('node.machine') }
  }

  #text(path: string): string {
    const fact = this.#keeper.facts.get(path) ?? new Unknown('not read')
    if (fact instanceof Unknown) return 'unknown'
    return typeof fact === 'object' ? JSON.stringify(fact) : String(fact)
  }

  #typeOf(path: string): FactType {
    return this.#specs.get(path)?.type ?? 'string'
  }
}
