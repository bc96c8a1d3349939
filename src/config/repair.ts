/**
 * Slips of the pen in a config: keys that nobody knows, and a `type` or `method` that is
 * none. Each is told and put right in a copy, so that what else is wrong is told as well
 * and not what only follows from the slip.
 *
 * @module
 */

import type * as v from 'valibot'
import { nearest } from './nearest.ts'
import { type Leaf, leavesOf, OBJECT, problemOf } from './words.ts'

/** The parts of valibot's schemas that lead to the keys of an object. */
interface Part {
  readonly type: string
  readonly wrapped?: Part
  readonly item?: Part
  readonly key?: string
  readonly literal?: unknown
  readonly options?: readonly Part[]
  readonly entries?: Readonly<Record<string, Part>>
}

type Mapping = Record<string, unknown>

/** A config as it is put right, with what its keys were written as before. */
export interface Draft {
  readonly content: unknown
  /** By the path of a key that was renamed. */
  readonly written: Map<string, string>
}

/**
 * What `issues` tells of such slips; they are put right in the draft.
 *
 * @returns each begins with its path
 */
export function repair(
  schema: v.GenericSchema,
  draft: Draft,
  issues: readonly v.BaseIssue<unknown>[],
): string[] {
  return issues.flatMap((issue) =>
    leavesOf(issue).flatMap((leaf) => {
      const { type, expected } = leaf.issue
      if (expected === 'never') return unknownKeys(schema, draft, leaf.path.slice(0, -1))
      return type === 'variant' ? wrongChoice(schema, draft, leaf) : []
    }),
  )
}

function unknownKeys(
  schema: v.GenericSchema,
  { content, written }: Draft,
  path: readonly string[],
): string[] {
  const { mapping, parts } = find(schema, content, path)
  if (mapping === undefined) return []
  if (Array.isArray(mapping)) {
    mapping.length = 0
    return [`${path.join('.')}: wanted ${OBJECT}, and no list`]
  }
  const known = parts.flatMap(({ entries = {} }) => Object.keys(entries))
  const unknown = Object.keys(mapping).filter((key) => !known.includes(key))
  return unknown.map((key) => {
    const absent = known.filter((each) => !(each in mapping))
    const meant = nearest(key, absent)
    if (meant !== undefined) {
      mapping[meant] = mapping[key]
      written.set([...path, meant].join('.'), key)
    }
    delete mapping[key]
    const advice = meant === undefined ? 'check its spelling and place' : didYouMean(meant)
    return `${[...path, key].join('.')}: is not a known key: ${advice}`
  })
}

/** Of a key that chooses between forms, such as `type`. */
function wrongChoice(schema: v.GenericSchema, { content }: Draft, leaf: Leaf): string[] {
  const { mapping, forms } = find(schema, content, leaf.path.slice(0, -1))
  const key = leaf.path.at(-1) ?? ''
  const said = mapping?.[key]
  if (mapping === undefined || typeof said !== 'string') return []
  const choices = forms.map(({ entries = {} }) => String(entries[key]?.literal ?? ''))
  const meant = nearest(said, choices)
  if (meant === undefined) return []
  mapping[key] = meant
  return [`${problemOf(leaf)}: ${didYouMean(meant)}`]
}

function didYouMean(meant: string): string {
  return `did you mean "${meant}"?`
}

/** The object at a path, the schemas that fit it, and those it may choose from. */
function find(schema: v.GenericSchema, content: unknown, path: readonly string[]) {
  let value = content
  let at: readonly Part[] = [schema as unknown as Part]
  for (const key of path) {
    at = fitting(at, value).flatMap(({ entries, item }) => entries?.[key] ?? item ?? [])
    value = (value as Mapping | undefined)?.[key]
  }
  const mapping = typeof value === 'object' && value !== null ? (value as Mapping) : undefined
  return { mapping, parts: fitting(at, value), forms: formsOf(at) }
}

function formsOf(parts: readonly Part[]): Part[] {
  return parts.flatMap((part) => {
    if (part.wrapped !== undefined) return formsOf([part.wrapped])
    return part.options === undefined ? [part] : formsOf(part.options)
  })
}

/** Without the forms that the object did not choose. */
function fitting(parts: readonly Part[], value: unknown): Part[] {
  return parts.flatMap((part) => {
    if (part.wrapped !== undefined) return fitting([part.wrapped], value)
    const { type, options, key = '' } = part
    if (options === undefined) return [part]
    const chosen = (value as Mapping | undefined)?.[key]
    return fitting(options, value).filter(
      ({ entries }) => type !== 'variant' || entries?.[key]?.literal === chosen,
    )
  })
}
