/** Changes text line by line and token by token, with the words of its language. @module */

import { Buffer } from 'node:buffer'
import type { SeededRandom } from '../../_lib/seeded_random.ts'
import { mutateBytes } from './bytes.ts'
import { MAX_INPUT_BYTES, type Mutator, oneOf, RARELY } from './mutator.ts'

/** What every reader of text meets one day. */
const ANYWHERE = [
  '',
  '\0',
  '\ufeff',
  '\u2028',
  '"',
  "'",
  '\\',
  '\r\n',
  '\t',
  '#',
  ':',
  '-',
  '=',
  ',',
]
const NUMBERS = ['0', '-1', '1e999', '9007199254740993', '00', '0x10', '1_0', '.5', 'NaN']
const NAMES = ['__proto__', 'constructor', 'toString', 'null', 'true', '~', 'hasOwnProperty']
const MOST_TIMES = 20_000

type Change = (
  text: string,
  other: string,
  words: readonly string[],
  random: SeededRandom,
) => string

/**
 * @param words of the language, which are put in as they are
 * @param nests beginnings that such a language nests in itself
 */
export function textMutator(words: readonly string[], nests: readonly string[] = ['[']): Mutator {
  const known = [...words, ...ANYWHERE, ...NUMBERS, ...NAMES]
  return (input, other, random) => {
    if (random.below(5) === 0) return mutateBytes(input, other, random)
    let text = Buffer.from(input).toString()
    if (random.below(RARELY) === 0) {
      return Buffer.from(deep(text, nests, random)).subarray(0, MAX_INPUT_BYTES)
    }
    const second = Buffer.from(other).toString()
    for (let left = 1 + random.below(4); left > 0; left -= 1) {
      text = oneOf(random, CHANGES)(text, second, known, random)
    }
    return Buffer.from(text).subarray(0, MAX_INPUT_BYTES)
  }
}

const CHANGES: readonly (readonly [number, Change])[] = [
  [4, putToken],
  [4, insertToken],
  [2, dropToken],
  [2, copyToken],
  [1, dropLine],
  [1, copyLine],
  [1, takeLine],
  [1, indentLine],
]

/** Words and single other characters, with their places. */
function tokenAt(text: string, random: SeededRandom): { start: number; end: number } {
  let start = random.below(text.length + 1)
  while (start > 0 && isWord(text, start - 1) && isWord(text, start)) start -= 1
  let end = start + 1
  while (end < text.length && isWord(text, end - 1) && isWord(text, end)) end += 1
  return { start, end: Math.min(end, text.length) }
}

function isWord(text: string, at: number): boolean {
  return /[\w.]/.test(text[at] ?? ' ')
}

function putToken(text: string, _other: string, words: readonly string[], random: SeededRandom) {
  const { start, end } = tokenAt(text, random)
  return text.slice(0, start) + random.pick(words) + text.slice(end)
}

function insertToken(text: string, _other: string, words: readonly string[], random: SeededRandom) {
  const { end } = tokenAt(text, random)
  return text.slice(0, end) + random.pick(words) + text.slice(end)
}

function dropToken(text: string, _other: string, _words: readonly string[], random: SeededRandom) {
  const { start, end } = tokenAt(text, random)
  return text.slice(0, start) + text.slice(end)
}

/** A token from another place. */
function copyToken(text: string, other: string, _words: readonly string[], random: SeededRandom) {
  const from = random.below(2) === 0 ? text : other
  const [source, aim] = [tokenAt(from, random), tokenAt(text, random)]
  return text.slice(0, aim.start) + from.slice(source.start, source.end) + text.slice(aim.end)
}

function dropLine(text: string, _other: string, _words: readonly string[], random: SeededRandom) {
  const lines = text.split('\n')
  lines.splice(random.below(lines.length), 1 + random.below(3))
  return lines.join('\n')
}

function copyLine(text: string, _other: string, _words: readonly string[], random: SeededRandom) {
  const lines = text.split('\n')
  lines.splice(random.below(lines.length), 0, random.pick(lines))
  return lines.join('\n')
}

function takeLine(text: string, other: string, _words: readonly string[], random: SeededRandom) {
  const lines = text.split('\n')
  lines.splice(random.below(lines.length + 1), random.below(2), random.pick(other.split('\n')))
  return lines.join('\n')
}

function indentLine(text: string, _other: string, _words: readonly string[], random: SeededRandom) {
  const lines = text.split('\n')
  const at = random.below(lines.length)
  const line = lines[at] ?? ''
  lines[at] = random.below(2) === 0 ? `  ${line}` : line.replace(/^ {1,2}/, '')
  return lines.join('\n')
}

/** One thing in itself, or again and again, thousands of times. */
function deep(text: string, nests: readonly string[], random: SeededRandom): string {
  const at = random.below(text.length + 1)
  const piece = random.below(3) === 0 ? random.pick(text.split('\n')) : random.pick(nests)
  const times = 1 + random.below(MOST_TIMES)
  return text.slice(0, at) + piece.slice(0, 40).repeat(times) + text.slice(at)
}
