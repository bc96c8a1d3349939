/**
 * Corrects slips in a copy of a config: unknown keys, and an unknown `type` or `method`. Each slip
 * is reported; the copy is then checked further, so that the report has the other problems as well,
 * and not those that only follow from a slip.
 *
 * @module
 */

import type * as v from 'valibot'
import { nearest } from './nearest.ts'
import { type Leaf, leavesOf, OBJECT, problemOf } from './words.ts'

/** The parts of a valibot schema that lead to the keys of an object. */
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

/** A corrected config, with the original names of its keys. */
export interface Draft {
  readonly content: unknown
  /** By the path of a key that was renamed, the name as it was written. */
  readonly written: Map<string, string>
}

/**
 * Finds slips among the issues and corrects them in the draft.
 *
 * @returns problems, each of which begins with its path
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

/** For a key that chooses between several forms, such as `type`. */
function wrongChoice(schema: v.GenericSchema, { content }: Draft, leaf: Leaf): string[] {
  const { mapping, forms } = find(schema, content, leaf.path.slice(0, -1))
  const key = leaf.path.at(-1) ?? ''
  const said = mapping?.[key]
  if (mapping === undefined || typeof said !== 'string') return []
  // None where a text stands in the place of the whole object.
  const choices = forms.flatMap(({ entries = {} }) => entries[key]?.literal ?? []).map(String)
  const meant = nearest(said, choices)
  if (meant === undefined) return []
  mapping[key] = meant
  return [`${problemOf(leaf)}: ${didYouMean(meant)}`]
}

function didYouMean(meant: string): string {
  return `did you mean "${meant}"?`
}

/** The object at a path, the schemas that it matches, and those that it may choose from. */
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

/** Leaves out the forms that the object did not choose. */
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
