/** Prints findings for people: the worst first, each with its reason and what to do. @module */

import type { Io } from '../../console/io.ts'
import { type Color, paint } from '../../console/output.ts'
import type { Finding, Level } from './finding.ts'

const ORDER: readonly Level[] = ['error', 'warning', 'notice', 'skipped', 'ok']
const COLORS: Readonly<Record<Level, Color>> = {
  error: 'red',
  warning: 'yellow',
  notice: 'dim',
  skipped: 'dim',
  ok: 'green',
}
const INDENT = ' '.repeat(9)

/** Whether nothing has to be fixed. */
export function isWell(findings: readonly Finding[]): boolean {
  return findings.every(({ level }) => level !== 'error' && level !== 'warning')
}

export function readable(findings: readonly Finding[], io: Io): string {
  const sorted = ORDER.flatMap((level) => findings.filter((each) => each.level === level))
  const lines = sorted.map((finding) => oneFinding(finding, io))
  const count = (level: Level) => findings.filter((each) => each.level === level).length
  const sum = isWell(findings)
    ? `Nothing to fix: ${count('ok')} things are well, ${count('notice')} to know, ${count('skipped')} not checked.`
    : `Errors: ${count('error')}, warnings: ${count('warning')}, to know: ${count('notice')}, not checked: ${count('skipped')}. docs/doctor.md has each id.`
  return `${lines.join('')}\n${sum}\n`
}

function oneFinding({ id, level, what, why, todo }: Finding, io: Io): string {
  const mark = paint(io, COLORS[level], level.padEnd(INDENT.length))
  const head = level === 'ok' || level === 'skipped' ? what : `${what} [${id}]`
  const rest = [why, todo === undefined ? undefined : `→ ${todo}`].filter(
    (each) => each !== undefined,
  )
  return `${mark}${[head, ...rest].join(`\n${INDENT}`)}\n`
}
