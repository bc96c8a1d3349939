/**
 * JSON whose numbers are written as they were read, including those that JavaScript would round.
 *
 * @module
 */

interface ExactJson {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
  ): unknown
  rawJSON(text: string): object
  isRawJSON(value: unknown): boolean
}

/** Node 21 and later and Deno have all of it, but TypeScript's library does not declare it. */
const exact: ExactJson = JSON as unknown as ExactJson

/** @throws SyntaxError */
export function parseExactly(text: string): unknown {
  return exact.parse(text, (_key, value, { source }) =>
    typeof value === 'number' && source !== undefined && String(value) !== source
      ? exact.rawJSON(source)
      : value,
  )
}

/** True for a number that {@link parseExactly} kept as text; `JSON.stringify` writes it. */
export function isKeptNumber(value: unknown): boolean {
  return exact.isRawJSON(value)
}
