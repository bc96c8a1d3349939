/**
 * `trousseau policy test` and `policy explain`: what the rules of a config say of facts, those of
 * this node or recorded ones, without a plugin and without a request.
 *
 * @module
 */

import type { RuleState } from '../../base/events.ts'
import type { Operation } from '../../base/gate.ts'
import { ConfigError, loadConfig } from '../../config/load.ts'
import type { Config } from '../../config/schema.ts'
import type { Io } from '../../console/io.ts'
import { EXIT, json, paint, printable } from '../../console/output.ts'
import { type Facts, shownFact, Unknown } from '../../policy/facts/value.ts'
import { nodeSpecs } from '../../policy/facts/vocabulary.ts'
import { ruleBook } from '../../policy/rule_book.ts'
import type { AskedUse, Rule } from '../../policy/rules.ts'
import { factsFor, policyOf } from './recorded.ts'

export interface JudgeOptions {
  readonly config: string
  /** A file of recorded facts; those of this node where absent. */
  readonly facts?: string
  readonly operation: Operation
  readonly api: 'v2' | 'v1beta1'
  readonly provider?: string
  readonly endpoint: string
  readonly keyVersion: string
  readonly size: number
  /** By the name of a rule, what it must say. */
  readonly expect: Readonly<Record<string, string>>
  readonly json: boolean
}

interface Judged {
  readonly name: string
  readonly mode: 'enforce' | 'audit'
  /** `not_asked`: it does not guard such a use. */
  readonly state: 'passes' | 'refuses' | 'undecided' | 'not_asked'
  /** Whether the request would be refused by it. */
  readonly refuses: boolean
  readonly message: string | undefined
  readonly expression: string
  readonly facts: readonly {
    readonly path: string
    readonly value: unknown
    readonly why?: string
  }[]
}

/** @throws ConfigError, or KmsError for a file that holds no facts */
export async function testRules(options: JudgeOptions, io: Io): Promise<number> {
  const { rules, missed } = await judged(options)
  const ok = missed.length === 0 && (asked(options) || !rules.some(({ refuses }) => refuses))
  if (options.json) io.out(json({ ok, rules, missed }))
  else {
    for (const rule of rules) io.out(`${lineOf(rule, io)}\n`)
    for (const line of missed) io.out(`${paint(io, 'red', line)}\n`)
  }
  return ok ? EXIT.ok : EXIT.unhealthy
}

/** @throws ConfigError, or KmsError for a file that holds no facts */
export async function explainRules(options: JudgeOptions, io: Io): Promise<number> {
  const { rules } = await judged(options)
  const decides = rules.find(({ refuses }) => refuses)
  if (options.json) io.out(json({ decides: decides?.name ?? null, rules }))
  else {
    for (const rule of rules) io.out(explained(rule, io))
    const { operation } = options
    io.out(
      decides === undefined
        ? `No rule refuses ${operation}.\n`
        : `${operation} is refused: rule "${decides.name}" decides.\n`,
    )
  }
  return decides === undefined ? EXIT.ok : EXIT.unhealthy
}

/** What each rule says of this node, without a request. */
export async function judgedHere(config: Config): Promise<RuleState[]> {
  const policy = policyOf(config)
  const book = ruleBook(policy)
  const bound = book.bind(await factsFor(config, undefined), nodeSpecs(policy))
  return book.rules.map((rule) => rule.state(bound))
}

/** Where it is said what each rule must say, nothing else is judged. */
function asked({ expect }: JudgeOptions): boolean {
  return Object.keys(expect).length > 0
}

async function judged(options: JudgeOptions) {
  const config = await loadConfig(options.config)
  const facts = await factsFor(config, options.facts)
  const policy = policyOf(config)
  const book = ruleBook(policy)
  const bound = book.bind(facts, nodeSpecs(policy))
  const use = useOf(config, options)
  const rules = book.rules.map((rule): Judged => {
    const { name, mode, expression } = rule.config
    const base = { name, mode, expression, facts: namedBy(rule, facts, config, use) }
    if (!rule.guards(use))
      return { ...base, state: 'not_asked', refuses: false, message: undefined }
    const verdict = rule.ask(bound, use)
    const { state } = verdict
    if (state === 'passes') return { ...base, state, refuses: false, message: undefined }
    const refuses = mode === 'enforce' && rule.isAgainst(verdict)
    return { ...base, state, refuses, message: rule.words(verdict) }
  })
  return { rules, missed: missedIn(rules, options.expect) }
}

function missedIn(rules: readonly Judged[], expect: JudgeOptions['expect']): string[] {
  return Object.entries(expect).flatMap(([name, wanted]) => {
    const state = rules.find((rule) => rule.name === name)?.state
    if (state === wanted) return []
    return `Rule "${name}" was to say ${wanted}: ${state === undefined ? 'there is no such rule' : `it says ${state}`}`
  })
}

/** @throws ConfigError */
function useOf(config: Config, options: JudgeOptions): AskedUse {
  const {
    operation,
    api,
    endpoint,
    keyVersion,
    size,
    provider = config.providers[0]?.name,
  } = options
  if (provider === undefined || !config.providers.some(({ name }) => name === provider)) {
    throw new ConfigError([`providers: no provider has the name "${provider}"`])
  }
  return { operation, api, endpoint, provider, keyVersion, size }
}

function namedBy(rule: Rule, facts: Facts, config: Config, use: AskedUse): Judged['facts'] {
  const types = new Map(nodeSpecs(policyOf(config)).map(({ path, type }) => [path, type]))
  const asked: Readonly<Record<string, unknown>> = { ...use }
  return [...rule.used].map((path) => {
    const type = types.get(path)
    if (type === undefined) return { path, value: asked[path.replace('request.', '')] }
    const fact = facts.get(path) ?? new Unknown('not read')
    const value = shownFact(fact, type)
    return fact instanceof Unknown ? { path, value, why: fact.why } : { path, value }
  })
}

const COLORS = { passes: 'green', refuses: 'red', undecided: 'yellow', not_asked: 'dim' } as const

function lineOf({ name, mode, state, message }: Judged, io: Io): string {
  const said = paint(io, COLORS[state], state.replace('_', ' ').padEnd(9))
  return `${said}  ${name} (${mode})${message === undefined ? '' : `: ${printable(message)}`}`
}

function explained(rule: Judged, io: Io): string {
  const facts = rule.facts.map(({ path, value, why }) =>
    printable(`    ${path} = ${why === undefined ? JSON.stringify(value) : `unknown: ${why}`}`),
  )
  const lines = rule.expression
    .trimEnd()
    .split('\n')
    .map((line) => printable(`    ${line}`))
  return `${[lineOf(rule, io), ...lines, ...facts].join('\n')}\n\n`
}
