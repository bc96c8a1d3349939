/**
 * Reads a config file whole: either every key is as it must be, or all problems
 * are listed at once, with path and expectation and never with a value, since a
 * value may be a secret that landed in the wrong place.
 *
 * @module
 */

import { readFile } from 'node:fs/promises'
import process from 'node:process'
import { text as wholeText } from 'node:stream/consumers'
import * as v from 'valibot'
import { LineCounter, parseDocument } from 'yaml'
import { configProblems } from './endpoints.ts'
import { type Config, configSchema } from './schema.ts'

/** A config that cannot be used; `problems` has one line each. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: readonly string[]

  constructor(problems: readonly string[], options?: ErrorOptions) {
    super(problems.join('\n'), options)
    this.problems = problems
  }
}

const MAX_ALIASES = 10
/** How messages begin that the schema did not write itself. */
const VALIBOT_MESSAGE = /^(?:Invalid|Expected) /

/** In the place of a path: the config comes on standard input. */
export const STANDARD_INPUT = '-'
/** It can be read once, and some commands look at their config twice. */
let piped: Promise<string> | undefined

/**
 * @param path `-` for standard input
 * @throws ConfigError
 */
export async function loadConfig(path: string): Promise<Config> {
  const name = nameOf(path)
  const text = await contentOf(path).catch((cause: NodeJS.ErrnoException) => {
    throw new ConfigError([`${name}: cannot be read (${cause.code ?? 'unknown error'})`], { cause })
  })
  return parseConfig(parseText(text, name), name)
}

/** What a config is called, for people. */
export function nameOf(path: string): string {
  return path === STANDARD_INPUT ? 'standard input' : path
}

function contentOf(path: string): Promise<string> {
  if (path !== STANDARD_INPUT) return readFile(path, 'utf8')
  piped ??= wholeText(process.stdin)
  return piped
}

/**
 * @param name what the problems are reported of
 * @throws ConfigError
 */
export function parseConfig(content: unknown, name: string): Config {
  const result = v.safeParse(configSchema, content)
  const problems = result.success
    ? configProblems(result.output)
    : result.issues.flatMap((issue) => problemsOf(issue, ''))
  if (result.success && problems.length === 0) return result.output
  throw new ConfigError(problems.map((problem) => `${name}: ${problem}`))
}

/** JSON is YAML too. */
function parseText(text: string, path: string): unknown {
  const lineCounter = new LineCounter()
  const document = parseDocument(text, { lineCounter, uniqueKeys: true, prettyErrors: false })
  const problems = [...document.errors, ...document.warnings].map(({ code, pos: [at] }) => {
    const { line, col } = lineCounter.linePos(at)
    return `${path}:${line}:${col}: ${sayYaml(code)}`
  })
  if (problems.length > 0) throw new ConfigError(problems)
  try {
    return document.toJS({ maxAliasCount: MAX_ALIASES })
  } catch (cause) {
    throw new ConfigError([`${path}: has too many aliases, or one that leads nowhere`], { cause })
  }
}

/** The parser's codes are words joined by `_`; its messages quote the file. */
function sayYaml(code: string): string {
  return `not valid YAML (${code.toLowerCase().replaceAll('_', ' ')})`
}

/** @param within the path of what the issue's own path is below */
function problemsOf(issue: v.BaseIssue<unknown>, within: string): string[] {
  const path = [within, v.getDotPath(issue) ?? ''].filter((part) => part !== '').join('.')
  // Of several forms that a value may have, the long one is meant by whoever wrote an object.
  const inner = (issue.issues ?? []).filter((each) => each.path !== undefined)
  if (issue.type === 'union' && typeof issue.input === 'object' && inner.length > 0) {
    return inner.flatMap((each) => problemsOf(each, path))
  }
  return [`${path === '' ? '' : `${path}: `}${problemOf(issue)}`]
}

function problemOf(issue: v.BaseIssue<unknown>): string {
  if (issue.expected === 'never') return 'is not a known key: check its spelling and place'
  if (issue.type === 'strict_object' && issue.received === 'undefined') return 'is missing'
  if (issue.received === 'undefined') return `is missing: wanted ${wanted(issue)}`
  return `wanted ${wanted(issue)}`
}

/** The schema's own words, where it has some; valibot's would quote the value. */
function wanted({ type, expected, message }: v.BaseIssue<unknown>): string {
  if (type === 'starts_with') return `something that starts with ${expected}`
  return VALIBOT_MESSAGE.test(message) ? (expected ?? 'another value') : message
}
