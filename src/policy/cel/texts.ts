/** Texts in a rule that must have a form: patterns, durations, times and time zones. @module */

import { RuleFault } from './fault.ts'
import { type Expr, failsAlways, isPattern } from './library.ts'

/** They read a text. */
const READ = new Set(['bool', 'double', 'duration', 'int', 'timestamp'])

/** Texts that must have a form: one that is written there must have it now. */
export function checkTexts(expr: Expr, name: string, parts: readonly Expr[]): void {
  const last = parts.at(-1) ?? expr
  const text = textOf(last)
  if (name === 'matches' && text === undefined) {
    throw new RuleFault('takes a pattern that is not written there', last)
  }
  const fault = text === undefined ? undefined : textFault(expr, name, text)
  if (fault !== undefined) throw new RuleFault(fault, last)
}

function textFault(expr: Expr, name: string, text: string): string | undefined {
  if (name === 'matches') return isPattern(text) ? undefined : 'is a pattern that RE2 does not take'
  if (READ.has(name))
    return failsAlways(expr) ? `is a text that ${name}() does not take` : undefined
  return name.startsWith('get') && !isZone(text) ? 'is no time zone' : undefined
}

export function textOf(expr: Expr): string | undefined {
  if (expr.exprKind.case !== 'constExpr') return undefined
  const { constantKind } = expr.exprKind.value
  return constantKind.case === 'stringValue' ? constantKind.value : undefined
}

/** As CEL writes them: an area, or hours and minutes. */
function isZone(text: string): boolean {
  if (/^[+-]?\d\d:\d\d$/.test(text)) return true
  try {
    new Intl.DateTimeFormat('en', { timeZone: text })
    return true
  } catch {
    return false
  }
}
