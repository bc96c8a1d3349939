/**
 * Schemas for absent values: Go writes a nil slice, map or pointer as null, YAML a key without a
 * value, and both mean Go's zero value.
 *
 * @module
 */

import * as v from 'valibot'

export const text = v.nullish(v.string(), '')

export const flag = v.nullish(v.boolean(), false)

export function maybe<T extends v.GenericSchema>(schema: T) {
  return v.nullish(schema, () => undefined)
}

export function list<T extends v.GenericSchema>(item: T) {
  return v.nullish(v.array(item), [])
}

export function isThere(value: unknown): boolean {
  return value !== null && value !== undefined
}
