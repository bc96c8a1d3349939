/** Makes a policy of a config; the language of the rules is loaded only where there are any. @module */

import * as v from 'valibot'
import { type PolicyConfig, policyConfig } from './config.ts'
import { Policy, type PolicyDeps } from './policy.ts'

/** @param config undefined where nothing but facts for logins is wanted */
export async function makePolicy(
  config: PolicyConfig = v.parse(policyConfig, {}),
  deps: PolicyDeps,
): Promise<Policy> {
  const book =
    config.rules.length === 0 ? undefined : (await import('./rule_book.ts')).ruleBook(config)
  return new Policy(config, book, deps)
}
