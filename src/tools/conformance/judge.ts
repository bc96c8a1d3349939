/** Judges a plugin or a signer by rules, one after the other. @module */

import { KmsError } from '../../base/errors.ts'
import { RpcError } from '../../grpc/client.ts'
import { codeOf } from './probe.ts'
import { Broken, NotSeen, type Rule, type RuleFinding } from './rule.ts'

/** One finding for each rule, in their order; after a broken one that is a gate the rest is skipped. */
export async function judged<P>(rules: readonly Rule<P>[], probe: P): Promise<RuleFinding[]> {
  const findings: RuleFinding[] = []
  let blocked: string | undefined
  for (const rule of rules) {
    const finding = blocked === undefined ? await judge(rule, probe) : skipped(rule, blocked)
    if (finding.result === 'fail') blocked ??= rule.gate
    findings.push(finding)
  }
  return findings
}

async function judge<P>(rule: Rule<P>, probe: P): Promise<RuleFinding> {
  try {
    const detail = await rule.run(probe)
    return { rule: rule.id, title: rule.title, result: 'pass', detail }
  } catch (error) {
    if (error instanceof NotSeen) return skipped(rule, error.message)
    return { rule: rule.id, title: rule.title, result: rule.broken, detail: problemOf(error) }
  }
}

function skipped({ id, title }: Rule<never>, reason: string): RuleFinding {
  return { rule: id, title, result: 'skipped', detail: reason }
}

/** Describes why a rule is broken. A bug of the probe itself is thrown on. */
function problemOf(error: unknown): string {
  if (error instanceof Broken || error instanceof KmsError) return error.message
  if (error instanceof RpcError) return `a call answered ${codeOf(error)}`
  throw error
}
