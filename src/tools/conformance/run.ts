/** `trousseau check` tests any plugin's or signer's socket against the rules of its contract. @module */

import { fitted } from '../../console/fitted.ts'
import type { Io } from '../../console/io.ts'
import { type Color, EXIT, json, paint, table } from '../../console/output.ts'
import { counted } from '../../console/progress.ts'
import { reach } from '../../grpc/reach.ts'
import type { Result, RuleFinding } from './rule.ts'
import { checkConformance } from './rules.ts'

interface CheckOptions {
  readonly socketPath: string
  /** The socket is one of a signer of ServiceAccount tokens. */
  readonly signer: boolean
  readonly json: boolean
}

/** The time that kube-apiserver allows where its configuration does not say otherwise. */
const TIMEOUT_MS = 3_000
const IDLE_MS = 2_000
/** That which an API server gives Metadata (rule J3). */
const SIGNER_TIMEOUT_MS = 10_000
/** From so many on, rules that were skipped for one reason are not listed one by one. */
const MANY = 5

const COLORS: Readonly<Record<Result, Color>> = {
  pass: 'green',
  warn: 'yellow',
  fail: 'red',
  skipped: 'dim',
}

/** @throws KmsError when the plugin cannot be reached */
export async function check(options: CheckOptions, io: Io): Promise<number> {
  const { socketPath, signer, json: asJson } = options
  await reach(socketPath, TIMEOUT_MS)
  const findings = signer
    ? await (await import('./signer_rules.ts')).checkSigner(socketPath, SIGNER_TIMEOUT_MS)
    : await checkConformance(socketPath, { timeoutMs: TIMEOUT_MS, idleMs: IDLE_MS })
  const conforms = findings.every(({ result }) => result !== 'fail')
  io.out(
    asJson ? json({ socket: socketPath, conforms, findings }) : fitted(readable(findings, io), io),
  )
  return conforms ? EXIT.ok : EXIT.unhealthy
}

function readable(findings: readonly RuleFinding[], io: Io): string {
  const shown = findings.filter((finding) => !isOneOfMany(finding, findings))
  const rows = shown.map(({ rule, title, result, detail }) => [
    result,
    rule,
    detail === '' ? title : `${title}: ${detail}`,
  ])
  const lines = table(rows).map(([result = '', ...rest], at) => {
    const color = COLORS[shown[at]?.result ?? 'pass']
    return [paint(io, color, result), ...rest].join('  ')
  })
  return `${[...lines, ...manySkipped(findings)].join('\n')}\n\n${summary(findings)}\n`
}

/**
 * A rule that everything else needs is broken, so that one line reports all that were skipped for
 * it.
 */
function isOneOfMany({ result, detail }: RuleFinding, findings: readonly RuleFinding[]): boolean {
  const same = findings.filter((each) => each.result === 'skipped' && each.detail === detail)
  return result === 'skipped' && same.length > MANY
}

function manySkipped(findings: readonly RuleFinding[]): string[] {
  const many = findings.filter((finding) => isOneOfMany(finding, findings))
  const [first] = many
  return first === undefined ? [] : [`skipped  ${many.length} rules: ${first.detail}`]
}

function summary(findings: readonly RuleFinding[]): string {
  const count = (wanted: Result) => findings.filter(({ result }) => result === wanted).length
  return `${count('pass')} passed, ${count('fail')} failed, ${counted(count('warn'), 'warning')}, ${count('skipped')} skipped`
}
