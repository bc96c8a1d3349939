/**
 * Reads a config file as a whole: either every key is valid, or all problems are listed at once,
 * each with its path and what was expected. A value is never shown, since it may be a secret in the
 * wrong place.
 *
 * @module
 */

import process from 'node:process'
import * as v from 'valibot'
import {
  type Document,
  isCollection,
  isNode,
  isPair,
  LineCounter,
  type Pair,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml'
import { systemCodeOf, systemReasonOf } from '../base/errors.ts'
import { readSmallFile, readSmallStream } from '../base/small_file.ts'
import { yamlDocument } from '../base/yaml/parse.ts'
import { configProblems } from './endpoints.ts'
import { policyProblems } from './policy.ts'
import { type Draft, repair } from './repair.ts'
import { type Config, configSchema } from './schema.ts'
import { leavesOf, problemOf, wholeProblem } from './words.ts'

interface ConfigErrorOptions extends ErrorOptions {
  /** A hint that helps with these problems. */
  readonly hint?: string
}

/** A config that cannot be used; `problems` has one line for each. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: readonly string[]
  readonly hint: string | undefined

  constructor(problems: readonly string[], options?: ConfigErrorOptions) {
    super(problems.join('\n'), options)
    this.problems = problems
    this.hint = options?.hint
  }
}

const MAX_ALIASES = 10
/** One slip of the pen makes many of these, and the first says where it is. */
const MAX_SYNTAX_PROBLEMS = 10
const HINT = '"trousseau config schema" says what each key may be'

const NESTS_TOO_DEEP = 'not valid YAML (it nests too deep)'

/** Stands in the place of a path when the config comes on standard input. */
export const STANDARD_INPUT = '-'
/** Standard input can be read only once, but some commands read their config twice. */
let piped: Promise<string> | undefined

/**
 * @param path `-` for standard input
 * @throws ConfigError
 */
export async function loadConfig(path: string): Promise<Config> {
  const name = nameOf(path)
  const text = await configText(path).catch((cause: unknown) => {
    const absent = systemCodeOf(cause) === 'ENOENT'
    const why = absent ? 'there is no such file' : `cannot be read: ${systemReasonOf(cause)}`
    throw new ConfigError([`${name}: ${why}`], { cause })
  })
  // In UTF-16, half of the bytes of ordinary text are zero.
  if (text.includes('\0')) {
    throw new ConfigError([`${name}: is no text in UTF-8: save it with that encoding`])
  }
  const { content, placeOf } = parseText(text, name)
  const config = parseConfig(content, name, placeOf)
  const problems = await policyProblems(config)
  if (problems.length > 0) throw placedError(problems, name, placeOf)
  return config
}

/** How messages name a config. */
export function nameOf(path: string): string {
  return path === STANDARD_INPUT ? 'standard input' : path
}

/** The text of the config as it was written. */
export function configText(path: string): Promise<string> {
  if (path !== STANDARD_INPUT) return readSmallFile(path)
  piped ??= readSmallStream(process.stdin)
  return piped
}

/** A position in a text, and that position as `:LINE:COLUMN`. */
interface Place {
  readonly offset: number
  readonly text: string
}
/** Finds the position of a key, or of the key that should contain it. */
type PlaceOf = (path: readonly string[]) => Place

const NOWHERE: PlaceOf = () => ({ offset: 0, text: '' })

/**
 * @param name how the problems name the config
 * @throws ConfigError
 */
export function parseConfig(content: unknown, name: string, placeOf = NOWHERE): Config {
  const whole = wholeProblem(content)
  if (whole !== undefined) throw new ConfigError([`${name}: ${whole}`])
  const result = v.safeParse(configSchema, content)
  const draft = { content: structuredClone(content), written: new Map<string, string>() }
  const problems = problemsIn(result, draft)
  if (result.success && problems.length === 0) return result.output
  throw placedError(problems, name, placeOf, draft.written)
}

/** @param written keys as the file has them, by the path that they should have had */
function placedError(
  problems: readonly string[],
  name: string,
  placeOf: PlaceOf,
  written: ReadonlyMap<string, string> = new Map(),
): ConfigError {
  const placed = problems
    .map((problem) => {
      const path = /^([^\s:]+): /.exec(problem)?.[1]?.split('.') ?? []
      const asWritten = path.map((key, at) => written.get(path.slice(0, at + 1).join('.')) ?? key)
      return { problem, place: placeOf(asWritten) }
    })
    .toSorted((a, b) => a.place.offset - b.place.offset)
  return new ConfigError(
    placed.map(({ problem, place }) => `${name}${place.text}: ${problem}`),
    { hint: HINT },
  )
}

/** Corrects slips until there are none, so that the remaining keys are checked too. */
function problemsIn(result: v.SafeParseResult<typeof configSchema>, draft: Draft): string[] {
  if (result.success) return configProblems(result.output)
  const slips = repair(configSchema, draft, result.issues)
  if (slips.length === 0) return result.issues.flatMap((each) => leavesOf(each).map(problemOf))
  return [...slips, ...problemsIn(v.safeParse(configSchema, draft.content), draft)]
}

/** Parses JSON as well, since JSON is YAML. */
function parseText(text: string, path: string): { content: unknown; placeOf: PlaceOf } {
  const lineCounter = new LineCounter()
  const place = (offset: number) => {
    const { line, col } = lineCounter.linePos(offset)
    return { offset, text: `:${line}:${col}` }
  }
  const document = documentOf(text, path, lineCounter)
  const wrong = [...document.errors, ...document.warnings]
  const problems = wrong
    .slice(0, MAX_SYNTAX_PROBLEMS)
    .map(({ code, pos: [at] }) => `${path}${place(at).text}: ${sayYaml(code)}`)
  const more = wrong.length - problems.length
  if (more > 0) problems.push(`${path}: and ${more} more such places`)
  if (problems.length > 0) throw new ConfigError(problems)
  try {
    const content: unknown = document.toJS({ maxAliasCount: MAX_ALIASES })
    const pairsOf = pairsByKey()
    return { content, placeOf: (keys) => place(offsetOf(document, keys, pairsOf)) }
  } catch (cause) {
    throw new ConfigError([`${path}: has too many aliases, or one that leads nowhere`], { cause })
  }
}

function documentOf(text: string, path: string, lineCounter: LineCounter): Document.Parsed {
  try {
    return yamlDocument(text, { lineCounter })
  } catch (cause) {
    // The parser goes down with the text, and at some depth there is no stack left.
    throw new ConfigError([`${path}: ${NESTS_TOO_DEEP}`], { cause })
  }
}

/** The offset of the key, or of the longest part of its path that exists. */
function offsetOf(
  { contents }: Document,
  keys: readonly string[],
  pairsOf: ReturnType<typeof pairsByKey>,
): number {
  let holder: unknown = contents
  let at = startOf(contents) ?? 0
  for (const key of keys) {
    if (!isCollection(holder)) break
    const pair = pairsOf(holder).get(key)
    const value = pair === undefined ? holder.get(key, true) : pair.value
    at = startOf(pair === undefined ? value : pair.key) ?? at
    holder = value
  }
  return at
}

/** Sorts the pairs of a collection once, however many of them are looked for. */
function pairsByKey() {
  const known = new Map<object, ReadonlyMap<string, Pair>>()
  return (holder: YAMLMap | YAMLSeq) => {
    const pairs =
      known.get(holder) ??
      new Map(
        (holder.items as readonly unknown[])
          .filter((each) => isPair(each))
          .map((each) => [String(each.key), each]),
      )
    known.set(holder, pairs)
    return pairs
  }
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined
}

const YAML_WORDS: Readonly<Record<string, string>> = {
  NON_STRING_KEY: 'a key is a list, a mapping or an alias here, and must be a name',
  RESOURCE_EXHAUSTION: NESTS_TOO_DEEP,
}

/**
 * Makes words of the parser's code, which has them joined by `_`; the parser's message would quote
 * the file.
 */
function sayYaml(code: string): string {
  return YAML_WORDS[code] ?? `not valid YAML (${code.toLowerCase().replaceAll('_', ' ')})`
}
