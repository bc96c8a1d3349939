/** Checks the rules of a config against the facts of this node: what refuses now, and what may lock out. @module */

import type { Config } from '../../config/schema.ts'
import { counted } from '../../console/progress.ts'
import { type Finding, found, ok } from './finding.ts'

/** What can be seen without asking the node. */
export function policyRemarks({ policy }: Config): Finding[] {
  if (policy === undefined) return []
  const guarding = [
    ...policy.rules,
    ...(policy.opa === undefined ? [] : [asRule(policy.opa)]),
  ].filter(({ mode, guards }) => mode === 'enforce' && guards.includes('decrypt'))
  const names = guarding.map(({ name }) => `"${name}"`).join(', ')
  const { waiver } = policy
  return [
    ...found(guarding.length > 0, {
      id: 'policy-guards-decrypt',
      level: 'warning',
      what: `Decrypt is guarded by ${names}${waiver === undefined ? ', and there is no policy.waiver' : ''}`,
      why: 'Where it does not pass, an API server that starts reads no Secret, and a cluster that boots may not come up.',
      todo: 'Guard encrypt alone, or have a waiver at hand: docs/policy.md, "A waiver".',
    }),
    ...found(policy.opa?.mode === 'enforce' && policy.opa.noAnswer === 'deny', {
      id: 'policy-opa-needed',
      level: 'warning',
      what: 'Nothing is written while Open Policy Agent does not answer (policy.opa.noAnswer: deny)',
      why: 'It is then as needed at a boot as the key service, and must not depend on this cluster.',
      todo: 'Run it on this node, or set noAnswer: { allowFor: 10m }.',
    }),
  ]
}

/** What the rules say of this node now. */
export async function policyFindings(config: Config): Promise<Finding[]> {
  if (config.policy === undefined) return []
  const { judgedHere } = await import('../policy/judge.ts')
  const rules = await judgedHere(config)
  const asked = rules.filter(({ state }) => state !== 'by_request')
  const failing = asked.filter(({ state }) => state !== 'passes')
  return [
    ...policyRemarks(config),
    ...failing.map(({ name, mode, state, message = '' }): Finding => {
      const refuses = mode === 'enforce' && state === 'refuses'
      return {
        id: state === 'refuses' ? 'policy-refuses' : 'policy-undecided',
        level: refuses ? 'error' : 'notice',
        what: `Rule "${name}" (${mode}) ${state === 'refuses' ? 'does not pass' : 'cannot be decided'} here: ${message}`,
        why: refuses
          ? 'A plugin with this config refuses what the rule guards.'
          : 'It is told of every request, and refuses none.',
        todo: 'See the facts: trousseau policy explain --config FILE.',
      }
    }),
    ...(asked.length > 0 && failing.length === 0
      ? [ok('policy-passes', `${counted(asked.length, 'rule')} about this node pass`)]
      : []),
  ]
}

/** The outside decision, as rules are listed. */
function asRule({ mode, guards }: NonNullable<NonNullable<Config['policy']>['opa']>) {
  return { name: 'opa', mode, guards }
}
