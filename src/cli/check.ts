/** `trousseau check`: any plugin's socket against the rules of the KMS contract. @module */

import type { Finding, Result } from '../grpc/conformance/rule.ts'
import { checkConformance } from '../grpc/conformance.ts'
import { fitted } from './fitted.ts'
import type { Io } from './io.ts'
import { type Color, EXIT, json, paint, table } from './output.ts'

export interface CheckOptions {
  readonly socketPath: string
  readonly json: boolean
}

/** What kube-apiserver allows where its configuration does not say otherwise. */
const TIMEOUT_MS = 3_000
const IDLE_MS = 2_000

const COLORS: Readonly<Record<Result, Color>> = {
  pass: 'green',
  warn: 'yellow',
  fail: 'red',
  skipped: 'dim',
}

export async function check({ socketPath, json: asJson }: CheckOptions, io: Io): Promise<number> {
  const findings = await checkConformance(socketPath, { timeoutMs: TIMEOUT_MS, idleMs: IDLE_MS })
  const conforms = findings.every(({ result }) => result !== 'fail')
  io.out(
    asJson ? json({ socket: socketPath, conforms, findings }) : fitted(readable(findings, io), io),
  )
  return conforms ? EXIT.ok : EXIT.unhealthy
}

function readable(findings: readonly Finding[], io: Io): string {
  const rows = findings.map(({ rule, title, result, detail }) => [
    result,
    rule,
    detail === '' ? title : `${title}: ${detail}`,
  ])
  const lines = table(rows).map(([result = '', ...rest], at) => {
    const color = COLORS[findings[at]?.result ?? 'pass']
    return [paint(io, color, result), ...rest].join('  ')
  })
  return `${lines.join('\n')}\n\n${summary(findings)}\n`
}

function summary(findings: readonly Finding[]): string {
  const count = (wanted: Result) => findings.filter(({ result }) => result === wanted).length
  return `${count('pass')} passed, ${count('fail')} failed, ${count('warn')} warnings, ${count('skipped')} skipped`
}
