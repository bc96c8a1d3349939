/**
 * The CEL library, as far as rules need it. Nothing else imports it, and this file is loaded only
 * where a config has rules.
 *
 * @module
 */

import { type CelInput, celEnv, isCelError, parse, plan, run } from '@bufbuild/cel'
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt'
import type { FactType, FactValue } from '../facts/value.ts'

export type Expr = ReturnType<typeof parse>['expr']
/** Facts by their first names, each with its fields; one that is unknown is left out. */
export type Bindings = Readonly<Record<string, CelInput>>

const env = celEnv()
const NOTHING: Bindings = {}
/** The parser takes seconds to say what is wrong with what nests hundreds deep, and rules nest ten deep. */
const MAX_DEPTH = 40

interface Parsed {
  readonly expr: Expr
  /** Where a node of the expression stands, counted from its beginning. */
  readonly offsetOf: (id: bigint) => number
}

/** A text that is no expression, and where it ceases to be one. */
export class NotCel extends Error {
  override readonly name = 'NotCel'
  readonly offset: number

  constructor({ offset, what }: { offset: number; what: string }, options?: ErrorOptions) {
    super(what, options)
    this.offset = offset
  }
}

/** @throws NotCel */
export function parseCel(text: string): Parsed {
  checkDepth(text)
  try {
    const { expr, sourceInfo } = parse(text)
    const offsetOf = (id: bigint) => sourceInfo?.positions[String(id)] ?? 0
    return { expr, offsetOf }
  } catch (cause) {
    const what = 'is no whole expression of CEL from here on'
    throw new NotCel({ offset: offsetIn(cause), what }, { cause })
  }
}

/** Those in texts count as well, where they nest no deeper. */
function checkDepth(text: string): void {
  let depth = 0
  for (const { 0: bracket, index } of text.matchAll(/[([{}\])]/g)) {
    depth += '([{'.includes(bracket) ? 1 : -1
    const what = `nests deeper than ${MAX_DEPTH} brackets`
    if (depth > MAX_DEPTH) throw new NotCel({ offset: index, what })
  }
}

/** Runs an expression again and again; `Error` is why it gave no truth. */
export function planCel(expr: Expr): (bindings: Bindings) => boolean | Error {
  const evaluate = plan(env, expr)
  return (bindings) => {
    const result = evaluate({ ...bindings })
    if (isCelError(result)) return result
    return typeof result === 'boolean' ? result : new Error('No truth')
  }
}

/** Whether an expression of constants alone fails, as it would each time. */
export function failsAlways(expr: Expr): boolean {
  return isCelError(plan(env, expr)(NOTHING))
}

/** Whether RE2, which takes no longer for one pattern than for another, takes it. */
export function isPattern(text: string): boolean {
  return !isCelError(run('"".matches(pattern)', { pattern: text }))
}

/** A fact as CEL has it. */
export function celValue(value: FactValue, type: FactType): CelInput {
  if (typeof value === 'number') {
    if (type === 'duration') return durationFromMs(value * 1_000)
    return type === 'timestamp' ? timestampFromMs(value) : BigInt(value)
  }
  if (typeof value !== 'object') return value
  if (!Array.isArray(value)) return { ...value }
  return value.map((each: string | number) => (typeof each === 'number' ? BigInt(each) : each))
}

function offsetIn(error: unknown): number {
  const location: unknown =
    error instanceof Error && 'location' in error ? error.location : undefined
  if (typeof location !== 'object' || location === null || !('start' in location)) return 0
  const { start } = location
  const offset: unknown =
    typeof start === 'object' && start !== null && 'offset' in start ? start.offset : 0
  return typeof offset === 'number' ? offset : 0
}
