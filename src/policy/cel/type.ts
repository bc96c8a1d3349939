/** Types of CEL as the checker knows them, with how large a value can be: the worst case of a rule is made of it. @module */

import { type FactSpec, MAX_PART } from '../facts/vocabulary.ts'

export type Scalar =
  | 'bool'
  | 'int'
  | 'uint'
  | 'double'
  | 'string'
  | 'bytes'
  | 'null'
  | 'timestamp'
  | 'duration'

export type CelType =
  | { readonly kind: Scalar /** Characters or bytes. */; readonly size: number }
  /** `of` is undefined for a list without elements. */
  | { readonly kind: 'list'; readonly of: CelType | undefined; readonly size: number }
  | { readonly kind: 'map'; readonly of: CelType; readonly size: number }
  | { readonly kind: 'group'; readonly path: string; readonly fields: ReadonlyMap<string, CelType> }

export function scalar(kind: Scalar, size = 1): CelType {
  return { kind, size }
}

export function nameOf(type: CelType | undefined): string {
  if (type === undefined) return 'anything'
  if (type.kind === 'list') return `list(${nameOf(type.of)})`
  if (type.kind === 'map') return `map(string, ${nameOf(type.of)})`
  return type.kind === 'group' ? `the facts of ${type.path}` : type.kind
}

/** Whether values of both types may be compared. */
export function isLike(a: CelType | undefined, b: CelType | undefined): boolean {
  if (a === undefined || b === undefined) return true
  if (a.kind !== b.kind || a.kind === 'group') return false
  return 'of' in a && 'of' in b ? isLike(a.of, b.of) : true
}

/** The larger of two types that are alike. */
export function joined(a: CelType, b: CelType): CelType {
  if (a.kind === 'group' || b.kind === 'group') return a
  const size = Math.max(a.size, b.size)
  if (a.kind === 'list' && b.kind === 'list') {
    const of = a.of === undefined || b.of === undefined ? (a.of ?? b.of) : joined(a.of, b.of)
    return { kind: 'list', of, size }
  }
  return { ...a, size }
}

/** Characters, bytes or entries with what is in them. */
export function sizeOf(type: CelType): number {
  if (type.kind === 'group') return 1
  return type.kind === 'list'
    ? type.size * (type.of === undefined ? 1 : sizeOf(type.of))
    : type.size
}

/** By their first names: `kernel`, `files` and so on. */
export function variablesOf(specs: readonly FactSpec[]): ReadonlyMap<string, CelType> {
  const root = new Map<string, CelType>()
  for (const spec of specs) {
    const names = spec.path.split('.')
    const last = names.pop() ?? ''
    let fields = root
    names.forEach((name, at) => {
      const known = fields.get(name)
      const path = names.slice(0, at + 1).join('.')
      const group =
        known?.kind === 'group'
          ? known
          : { kind: 'group' as const, path, fields: new Map<string, CelType>() }
      fields.set(name, group)
      fields = group.fields as Map<string, CelType>
    })
    fields.set(last, typeOf(spec))
  }
  return root
}

function typeOf({ type, max }: FactSpec): CelType {
  switch (type) {
    case 'list(string)':
      return { kind: 'list', of: scalar('string', MAX_PART), size: max }
    case 'list(int)':
      return { kind: 'list', of: scalar('int'), size: max }
    case 'map(string)':
      return { kind: 'map', of: scalar('string', MAX_PART), size: max }
    case 'string':
      return scalar('string', max)
    default:
      return scalar(type)
  }
}
