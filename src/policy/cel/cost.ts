/** How many steps a call takes at most, beside its parts. @module */

import type { Expr } from './library.ts'
import { textOf } from './texts.ts'
import { type CelType, sizeOf } from './type.ts'

/** So many characters are compared or searched in one step. */
const CHARACTERS_A_STEP = 64
/** So many characters, times those of the pattern, go into one step of RE2. */
const MATCHED_A_STEP = 16

export function callCost(name: string, types: readonly CelType[], parts: readonly Expr[]): number {
  return name === 'matches' ? matchCost(types, parts.at(-1)) : ownCost(name, types)
}

function ownCost(name: string, types: readonly CelType[]): number {
  const [a = 1, b = 1] = types.map(sizeOf)
  const [, among] = types
  if (name === '@in' && among?.kind === 'list') {
    return 1 + among.size + Math.ceil(b / CHARACTERS_A_STEP)
  }
  return 1 + Math.ceil(Math.max(a, b) / CHARACTERS_A_STEP)
}

/** RE2's time goes with text and pattern, and a repetition stands for so many copies of its part. */
function matchCost([text]: readonly CelType[], pattern: Expr | undefined): number {
  const written = pattern === undefined ? '' : (textOf(pattern) ?? '')
  const times = [...written.matchAll(/\{(\d+)(?:,(\d*))?\}/g)].map(([, least, most = '']) =>
    Math.max(Number(least), Number(most), 1),
  )
  const weight = times.reduce((all, each) => all * each, written.length)
  return 1 + Math.ceil(((text === undefined ? 1 : sizeOf(text)) * weight) / MATCHED_A_STEP)
}
