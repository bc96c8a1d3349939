/** The rules of a config, checked and ready to be asked; the CEL library is loaded with this file. @module */

import { compileRule, RuleError } from './cel/compile.ts'
import type { PolicyConfig } from './config.ts'
import { type FactNames, type FactSpec, nodeSpecs, requestSpecs } from './facts/vocabulary.ts'
import { BoundFacts, Rule, type RuleBook } from './rules.ts'

/** One line for each rule that cannot be used: its path in the config, and what is wrong. */
export function ruleProblems(config: PolicyConfig): string[] {
  const specs = allSpecs(config)
  return config.rules.flatMap(({ expression }, index) => {
    try {
      compileRule(expression, specs)
      return []
    } catch (error) {
      if (!(error instanceof RuleError)) throw error
      return `policy.rules.${index}.expression: ${error.message}`
    }
  })
}

/** @throws RuleError for one that {@link ruleProblems} has a line for */
export function ruleBook(config: PolicyConfig): RuleBook {
  const specs = allSpecs(config)
  return {
    rules: config.rules.map((rule) => new Rule(rule, compileRule(rule.expression, specs))),
    bind: (facts, of) => new BoundFacts(facts, of),
  }
}

function allSpecs(config: FactNames): FactSpec[] {
  return [...nodeSpecs(config), ...requestSpecs()]
}
