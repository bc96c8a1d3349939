/** What must fit together in the part `policy` of a config, and with the rest of it. @module */

import { nodeSpecs } from '../policy/facts/vocabulary.ts'
import { descriptorOf } from '../services/registry.ts'
import type { Config } from './schema.ts'

/** Defaults of a config without that part, whose logins sign facts all the same. */
const PLAIN = { files: {}, encryptionConfig: undefined }

/** Problems that can be seen without the language of the rules. */
export function policyFits({ policy, providers }: Config): string[] {
  const names = providers.map(({ name }) => name)
  const specs = nodeSpecs(policy ?? PLAIN)
  const fit = new Map(specs.map(({ path, moves }) => [path, moves !== true]))
  const rules = policy?.rules ?? []
  const taken = new Set<string>(['opa'])
  return [
    ...rules.flatMap(({ name, providers: guarded = [] }, index) => [
      ...(taken.has(name) || !taken.add(name)
        ? [`policy.rules.${index}.name: there is another rule of the name "${name}"`]
        : []),
      ...guarded
        .filter((each) => !names.includes(each))
        .map((each) => `policy.rules.${index}.providers: no provider has the name "${each}"`),
    ]),
    ...claimedFacts({ providers }).flatMap(({ path, key }) => {
      const state = fit.get(path)
      if (state === true) return []
      const why =
        state === false ? 'one that stays the same for a while' : 'a fact of docs/policy.md'
      return `${key}: wanted ${why}, and not "${path}"`
    }),
  ]
}

/** The facts that logins sign, with the key of the config that names each. */
export function claimedFacts({ providers }: Pick<Config, 'providers'>) {
  return providers.flatMap((provider, index) =>
    (descriptorOf(provider).claimedFacts?.(provider) ?? []).map(({ path, key }) => ({
      provider: provider.name,
      path,
      key: `providers.${index}.${key}`,
    })),
  )
}

/** Rules that cannot be used. The language is loaded only where there are rules. */
export async function policyProblems({ policy }: Config): Promise<string[]> {
  if (policy === undefined || policy.rules.length === 0) return []
  const { ruleProblems } = await import('../policy/rule_book.ts')
  return ruleProblems(policy)
}
