/** What a fact can be. Unknown is a value of its own, with its reason, and never false. @module */

export type FactValue =
  | boolean
  | number
  | string
  | readonly string[]
  | readonly number[]
  | Readonly<Record<string, string>>

export class Unknown {
  readonly why: string

  constructor(why: string) {
    this.why = why
  }
}

export type Fact = FactValue | Unknown

/** By the path of each fact. */
export type Facts = ReadonlyMap<string, Fact>

/** `duration` is in seconds, `timestamp` in milliseconds since the epoch. */
export type FactType =
  | 'bool'
  | 'int'
  | 'string'
  | 'duration'
  | 'timestamp'
  | 'list(string)'
  | 'list(int)'
  | 'map(string)'

type FactTree<T> = { [name: string]: FactTree<T> | T }

export function isSameFact(a: Fact | undefined, b: Fact | undefined): boolean {
  if (a instanceof Unknown || b instanceof Unknown) {
    return a instanceof Unknown && b instanceof Unknown && a.why === b.why
  }
  return a === b || (typeof a === 'object' && JSON.stringify(a) === JSON.stringify(b))
}

/** As JSON and people see it: an unknown fact is null. */
export function shownFact(fact: Fact, type: FactType): unknown {
  if (fact instanceof Unknown) return null
  if (type === 'duration') return `${fact}s`
  if (type === 'timestamp') return new Date(Number(fact)).toISOString()
  return fact
}

/**
 * A fact of what {@link shownFact} made.
 *
 * @returns undefined where it is of another type
 */
export function factOf(shown: unknown, type: FactType, why: string): Fact | undefined {
  if (shown === null) return new Unknown(why)
  switch (type) {
    case 'bool':
      return typeof shown === 'boolean' ? shown : undefined
    case 'int':
      return Number.isSafeInteger(shown) ? Number(shown) : undefined
    case 'string':
      return typeof shown === 'string' ? shown : undefined
    case 'duration':
      return numberIn(/^(\d+)s$/.exec(String(shown))?.[1])
    case 'timestamp':
      return numberIn(Date.parse(String(shown)))
    case 'list(string)':
      return listOf(shown, 'string') as string[] | undefined
    case 'list(int)':
      return listOf(shown, 'number') as number[] | undefined
    case 'map(string)':
      return mapOf(shown)
  }
}

/** Values by the first names of their paths; a value that is undefined leaves its group without it. */
export function treeOf<T>(entries: Iterable<readonly [path: string, value: T | undefined]>) {
  const root: FactTree<T> = {}
  for (const [path, value] of entries) {
    const names = path.split('.')
    const last = names.pop() ?? ''
    let at = root
    for (const name of names) {
      at[name] ??= {}
      at = at[name] as FactTree<T>
    }
    if (value !== undefined) at[last] = value
  }
  return root
}

function numberIn(value: string | number | undefined): number | undefined {
  const number = value === undefined ? Number.NaN : Number(value)
  return Number.isNaN(number) ? undefined : number
}

function listOf(shown: unknown, kind: 'string' | 'number'): unknown[] | undefined {
  return Array.isArray(shown) && shown.every((each) => typeof each === kind) ? shown : undefined
}

function mapOf(shown: unknown): Record<string, string> | undefined {
  if (typeof shown !== 'object' || shown === null || Array.isArray(shown)) return undefined
  const entries = Object.entries(shown)
  if (!entries.every((entry): entry is [string, string] => typeof entry[1] === 'string'))
    return undefined
  return Object.fromEntries(entries)
}
