/**
 * Reads a command line as Go's flag package does: one dash or two, and the value after `=` or as
 * the next word. No value is ever shown, and no name that does not look like one, since either may
 * be a secret in the wrong place.
 *
 * @module
 */

import { nearest } from './nearest.ts'

/** Whether a flag has a value, or may stand alone for `true`. */
export type FlagKind = 'text' | 'switch'

interface FlagWords {
  /** Values by the name of the flag. */
  readonly values: ReadonlyMap<string, string>
  /** One line for each mistake. */
  readonly problems: readonly string[]
}

const NAME = /^[a-z]+(?:-[a-z]+)*$/i
const MAX_NAME = 40

type Kinds = ReadonlyMap<string, FlagKind>

export function readFlags(words: readonly string[], kinds: Kinds): FlagWords {
  const values = new Map<string, string>()
  const problems: string[] = []
  const strangers = new Map<string, string>()
  let at = 0
  while (at < words.length) {
    const { name, value, problem, taken } = flagAt(words, at, kinds, strangers)
    if (problem !== undefined) problems.push(problem)
    if (name !== undefined && values.has(name)) problems.push(`-${name}: is there twice`)
    if (name !== undefined && value !== undefined) values.set(name, value)
    at += taken
  }
  problems.push(...strangers.values())
  return { values, problems }
}

interface Flag {
  readonly name?: string
  readonly value?: string
  readonly problem?: string
  /** How many words it is. */
  readonly taken: number
}

/** @param strangers what is said of each unknown flag, however often it is there */
function flagAt(
  words: readonly string[],
  at: number,
  kinds: Kinds,
  strangers: Map<string, string>,
): Flag {
  const [, name, attached] = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(words[at] ?? '') ?? []
  if (name === undefined) {
    return { problem: `Word ${at + 1} of the command line: wanted -name=value`, taken: 1 }
  }
  const next = attached === undefined ? valueIn(words[at + 1]) : undefined
  const value = attached ?? next
  const taken = next === undefined ? 1 : 2
  const kind = kinds.get(name)
  // What stands behind an unknown flag is its value, and no mistake of its own.
  if (kind === undefined) {
    noteStranger(strangers, name, at, kinds)
    return { taken }
  }
  if (kind === 'switch') return { name, value: attached ?? 'true', taken: 1 }
  if (value !== undefined) return { name, value, taken }
  return { name, problem: `-${name}: wanted a value, as in -${name}=value`, taken }
}

/** The word, unless it is a flag; a negative number is none. */
function valueIn(word: string | undefined): string | undefined {
  return word === undefined || /^-(?!\d+$)/.test(word) ? undefined : word
}

/** To say what was meant takes long, beside all else here. */
function noteStranger(
  strangers: Map<string, string>,
  name: string,
  at: number,
  kinds: Kinds,
): void {
  if (!strangers.has(name)) strangers.set(name, unknownFlag(name, at, [...kinds.keys()]))
}

function unknownFlag(name: string, at: number, names: readonly string[]): string {
  if (!NAME.test(name) || name.length > MAX_NAME) {
    return `Word ${at + 1} of the command line: there is no such argument`
  }
  const near = nearest(name, names)
  return `-${name}: there is no such argument${near === undefined ? '' : `; did you mean -${near}?`}`
}

/** What Go takes for a boolean; undefined for anything else. */
export function readSwitch(text: string): boolean | undefined {
  if (/^(?:1|t|true)$/i.test(text)) return true
  return /^(?:0|f|false)$/i.test(text) ? false : undefined
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }

/** A duration as Go writes it, such as `1m30s`, in milliseconds; undefined for anything else. */
export function readDuration(text: string): number | undefined {
  if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/.test(text)) return undefined
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)]
  return parts.reduce((sum, [, count, unit = '']) => sum + Number(count) * (UNIT_MS[unit] ?? 0), 0)
}
