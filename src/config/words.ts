/**
 * Says in words what is wrong with a config: with the schema's own message where it has one, and
 * otherwise with what the schema expected. valibot's messages would quote the value.
 *
 * @module
 */

import type * as v from 'valibot'

/** How the messages begin that valibot made and not our schema. */
const VALIBOT_MESSAGE = /^(?:Invalid|Expected) /

export interface Leaf {
  readonly issue: v.BaseIssue<unknown>
  readonly path: readonly string[]
}

/** Where a value may have several forms, whoever wrote an object meant the long one. */
export function leavesOf(issue: v.BaseIssue<unknown>, within: readonly string[] = []): Leaf[] {
  const path = [...within, ...(issue.path ?? []).map(({ key }) => String(key))]
  const inner = (issue.issues ?? []).filter((each) => each.path !== undefined)
  if (issue.type === 'union' && typeof issue.input === 'object' && inner.length > 0) {
    return inner.flatMap((each) => leavesOf(each, path))
  }
  return [{ issue, path }]
}

/** Begins with the path. */
export function problemOf({ issue, path }: Leaf): string {
  const what =
    issue.type === 'strict_object' && issue.received === 'undefined'
      ? ''
      : `wanted ${wanted(issue)}`
  const missing = issue.received === 'undefined' ? 'is missing' : ''
  return `${path.join('.')}: ${[missing, what].filter((part) => part !== '').join(': ')}`
}

/** The problem of a text that is no mapping of keys; undefined where it is one. */
export function wholeProblem(content: unknown): string | undefined {
  if (typeof content === 'object' && content !== null && !Array.isArray(content)) return undefined
  const wants = 'wanted keys such as apiVersion, kind, socket and providers'
  if (content === null || content === undefined) return `is empty, or has comments only: ${wants}`
  return `is ${Array.isArray(content) ? 'a list' : 'one plain value'}: ${wants}`
}

function wanted(issue: v.BaseIssue<unknown>): string {
  const { type, expected, message } = issue
  if (!VALIBOT_MESSAGE.test(message)) return message
  return WORDS[type]?.(issue) ?? choiceOf(expected ?? 'another value')
}

type Say = (issue: v.BaseIssue<unknown>) => string

export const OBJECT = 'keys with values below it'
const object: Say = ({ expected }) => (expected === 'Object' ? OBJECT : choiceOf(expected ?? ''))

/** Keyed by valibot's types of schemas and of validations. */
const WORDS: Readonly<Record<string, Say>> = {
  string: ({ input }) => (typeof input === 'object' ? 'a text' : 'a text, in quotes'),
  number: ({ input }) =>
    typeof input === 'string' && /^\d+$/.test(input) ? 'a number, without quotes' : 'a number',
  boolean: ({ input }) =>
    typeof input === 'string' ? 'true or false, without quotes' : 'true or false',
  array: () => 'a list',
  record: () => OBJECT,
  strict_object: object,
  variant: object,
  integer: () => 'a whole number',
  min_value: ({ expected }) => `at least ${limitOf(expected)}`,
  max_value: ({ expected }) => `at most ${limitOf(expected)}`,
  min_length: (issue) => `at least ${limitOf(issue.expected)} ${partsOf(issue)}`,
  max_length: (issue) => `at most ${limitOf(issue.expected)} ${partsOf(issue)}`,
  non_empty: () => 'a text that is not empty',
  starts_with: ({ expected }) =>
    expected === '"/"' ? 'an absolute path, which begins with "/"' : `it to begin with ${expected}`,
}

function limitOf(expected: string | null): string {
  return (expected ?? '').replace(/^[<>]=/, '')
}

function partsOf({ input, expected }: v.BaseIssue<unknown>): string {
  const [one, more] = typeof input === 'string' ? ['character', 'characters'] : ['entry', 'entries']
  return limitOf(expected) === '1' ? one : more
}

/** `("a" | "b" | "c")` is said as `"a", "b" or "c"`. */
function choiceOf(expected: string): string {
  return expected
    .replace(/^\((.*)\)$/, '$1')
    .replaceAll(' | ', ', ')
    .replace(/, ([^,]*)$/, ' or $1')
}
