/**
 * What a table has under a name that somebody else wrote; undefined where it has none. Each object
 * has things such as `constructor` that no table means.
 *
 * @module
 */

export function own<T>(table: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined
}
