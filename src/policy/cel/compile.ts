/** A rule's text made into what can be asked again and again, or a fault with its line and column. @module */

import type { FactSpec } from '../facts/vocabulary.ts'
import { RuleChecker } from './check.ts'
import { RuleFault } from './fault.ts'
import { type Bindings, NotCel, parseCel, planCel } from './library.ts'
import { variablesOf } from './type.ts'

export interface CompiledRule {
  /** Paths of the facts that it names. */
  readonly used: ReadonlySet<string>
  /** `Error` where it gives neither true nor false, as where a fact is unknown. */
  readonly ask: (bindings: Bindings) => boolean | Error
}

/** Such as `line 2, column 7: there is no fact kernel.lokdown: kernel has …`. */
export class RuleError extends Error {
  override readonly name = 'RuleError'
}

/** @throws RuleError */
export function compileRule(text: string, specs: readonly FactSpec[]): CompiledRule {
  const parsed = parsedOf(text)
  const checker = new RuleChecker(variablesOf(specs))
  try {
    checker.check(parsed.expr)
  } catch (error) {
    if (!(error instanceof RuleFault)) throw error
    throw faultAt(text, parsed.offsetOf(error.id), error)
  }
  return { used: checker.used, ask: planCel(parsed.expr) }
}

function parsedOf(text: string) {
  try {
    return parseCel(text)
  } catch (error) {
    if (!(error instanceof NotCel)) throw error
    throw faultAt(text, error.offset, error)
  }
}

function faultAt(text: string, offset: number, cause: Error): RuleError {
  const lines = text.slice(0, offset).split('\n')
  const place = `line ${lines.length}, column ${(lines.at(-1)?.length ?? 0) + 1}`
  return new RuleError(`${place}: ${cause.message}`, { cause })
}
