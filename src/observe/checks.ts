/**
 * Health checks in the form of Kubernetes' own: `?verbose` lists them, `?exclude=NAME` leaves one
 * out, and each has a path of its own.
 *
 * @module
 */

import { UNPRINTABLE } from '../base/unprintable.ts'

export interface Check {
  /** `endpoint/NAME`, or the name of a provider. */
  readonly name: string
  /** What is wrong; undefined when nothing is. */
  readonly problem: string | undefined
  /** Whether all is well without it, as where the other providers suffice. */
  readonly spare: boolean
}

interface CheckAnswer {
  readonly status: number
  readonly body: string
}

/** Undefined where there is no such check. */
export function oneCheck(checks: readonly Check[], name: string): CheckAnswer | undefined {
  const check = checks.find((each) => each.name === name)
  if (check === undefined) return undefined
  const { problem } = check
  return problem === undefined
    ? { status: 200, body: 'ok\n' }
    : { status: 503, body: `${oneLine(problem)}\n` }
}

/** @param of `readyz` or `livez` */
export function allChecks(
  checks: readonly Check[],
  of: string,
  query: URLSearchParams,
): CheckAnswer {
  const excluded = query.getAll('exclude')
  const lines = checks.map((check) => lineOf(check, excluded))
  const unknown = excluded.filter((name) => !checks.some((check) => check.name === name))
  const passed = checks.every(
    ({ name, problem, spare }) => problem === undefined || spare || excluded.includes(name),
  )
  const body = [
    ...lines,
    ...(unknown.length > 0 ? ['warn: some checks to exclude are not there'] : []),
    `${of} check ${passed ? 'passed' : 'failed'}`,
  ]
  return { status: passed ? 200 : 503, body: `${body.join('\n')}\n` }
}

function lineOf({ name, problem, spare }: Check, excluded: readonly string[]): string {
  if (excluded.includes(name)) return `[+]${name} excluded: ok`
  if (problem === undefined) return `[+]${name} ok`
  return `[-]${name} failed${spare ? ' and is not needed now' : ''}: ${oneLine(problem)}`
}

/** The text of others must not look like further checks. */
function oneLine(text: string): string {
  return text.replaceAll(UNPRINTABLE, ' ')
}
