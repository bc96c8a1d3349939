/**
 * JSON of a service that may be broken or lie: what nests deeper or holds more than
 * anything that is ever asked for is refused before it is read. The parser itself
 * would hold the process up, and what it makes of such a text takes 50 times its room.
 *
 * @module
 */

import * as v from 'valibot'

/** Answers of key services nest nine deep at most. */
const MAX_DEPTH = 32
/** A page of a thousand key versions has less than 30 000. */
const MAX_VALUES = 100_000
const [QUOTE, BACKSLASH, COMMA] = [0x22, 0x5c, 0x2c]
const [OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d]

/** The JSON of a text, for schemas that go on from there. */
export const answerJson = v.pipe(v.string(), v.check(isModest), v.parseJson())

/** The same without a schema; undefined for what {@link answerJson} refuses, which JSON cannot say. */
export function readJson(text: string): unknown {
  if (!isModest(text)) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** False for a text that is not worth parsing; what is no JSON at all may be either. */
export function isModest(text: string): boolean {
  let depth = 0
  let values = 1
  for (let at = 0; at < text.length; at += 1) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = endOfString(text, at)
        break
      case OPEN_ARRAY:
      case OPEN_OBJECT:
        depth += 1
        values += 1
        break
      case CLOSE_ARRAY:
      case CLOSE_OBJECT:
        depth -= 1
        break
      case COMMA:
        values += 1
    }
    if (depth > MAX_DEPTH || values > MAX_VALUES) return false
  }
  return true
}

function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1)
  while (end !== -1 && isEscaped(text, end)) end = text.indexOf('"', end + 1)
  return end === -1 ? text.length : end
}

function isEscaped(text: string, quote: number): boolean {
  let at = quote
  while (text.charCodeAt(at - 1) === BACKSLASH) at -= 1
  return (quote - at) % 2 === 1
}
