/**
 * Probes any KMS plugin's socket by the numbered rules of the KMS contract that can be seen from
 * outside. It encrypts and decrypts random bytes, and never shows them.
 *
 * @module
 */

import { DECRYPT_RULES, ERROR_RULES } from './decrypt_rules.ts'
import { ENCRYPT_RULES } from './encrypt_rules.ts'
import { judged } from './judge.ts'
import { Probe, type ProbeOptions } from './probe.ts'
import { RawConnection } from './raw_http2.ts'
import type { RuleFinding } from './rule.ts'
import { STATUS_AFTERTHOUGHTS, STATUS_CALL_RULES, STATUS_RULES } from './status_rules.ts'
import { AFTERTHOUGHTS, CALL_RULES, idleRule, SOCKET_RULES } from './transport_rules.ts'
import { V1BETA1_RULES } from './v1beta1_rules.ts'

/**
 * Returns one finding for each rule, in the order of the contract. Nothing that a plugin does makes
 * it throw.
 */
export async function checkConformance(
  socketPath: string,
  options: ProbeOptions,
): Promise<RuleFinding[]> {
  using probe = new Probe(socketPath, options)
  using idle = new RawConnection(socketPath)
  const rules = [
    ...SOCKET_RULES,
    ...STATUS_RULES,
    ...CALL_RULES,
    ...ENCRYPT_RULES,
    ...STATUS_CALL_RULES,
    ...DECRYPT_RULES,
    ...V1BETA1_RULES,
    ...AFTERTHOUGHTS,
    ...ERROR_RULES,
    ...STATUS_AFTERTHOUGHTS,
    idleRule(idle, performance.now()),
  ]
  return (await judged(rules, probe)).toSorted(inContractOrder)
}

const LETTERS = 'SEDTFV'

function inContractOrder(one: RuleFinding, other: RuleFinding): number {
  return place(one.rule) - place(other.rule)
}

function place(rule: string): number {
  return LETTERS.indexOf(rule.charAt(0)) * 100 + Number(rule.slice(1))
}
