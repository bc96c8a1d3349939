/** Changes JSON as a tree, so that what reads it gets beyond its syntax. @module */

import { Buffer } from 'node:buffer'
import type { SeededRandom } from '../../_lib/seeded_random.ts'
import { MAX_INPUT_BYTES, type Mutator, oneOf, RARELY } from './mutator.ts'
import { textMutator } from './text.ts'

type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
/** A value, and the way to put another one into its place; undefined takes it out. */
interface Spot {
  readonly value: Json
  readonly put: (value: Json | undefined) => void
}

const ODD: readonly Json[] = [
  ...[null, true, false, 0, -1, 1, 1.5, 1e21, -1e-7, 2 ** 53, 2 ** 31, 2 ** 32, 9e15],
  ...['', ' ', '0', '1', '-1', 'null', 'a\nb', '\0', '\ud800', '%00', 'AAAA', 'AAA=', 'é', '../..'],
  ...[[], {}, [[]], [null], [{}], { '': null }],
]
const KEYS = ['__proto__', 'constructor', 'toString', 'length', '', '0', 'data', 'error', 'errors']
const MOST_DEPTH = 6_000
const MOST_ITEMS = 5_000
const MOST_PUMPED = 30_000

/**
 * @param words values that this kind of JSON knows
 * @param keys names that it knows
 */
export function jsonMutator(words: readonly Json[] = [], keys: readonly string[] = []): Mutator {
  const asText = textMutator(['{', '}', '[', ']', '":', '\\u0000', ...keys], ['[', '{"a":'])
  const values = [...words, ...words, ...ODD]
  const names = [...keys, ...KEYS]
  return (input, other, random) => {
    const root = random.below(8) === 0 ? undefined : parsed(input)
    if (root === undefined) return asText(input, other, random)
    const holder: { root: Json } = { root }
    const second = parsed(other)
    for (let left = 1 + random.below(4); left > 0; left -= 1) {
      const spots = spotsOf(holder)
      const spot = random.pick(spots)
      change(spot, spots, { values, names, second, random })
    }
    return written(holder.root) ?? input
  }
}

interface Means {
  readonly values: readonly Json[]
  readonly names: readonly string[]
  readonly second: Json | undefined
  readonly random: SeededRandom
}

function change(spot: Spot, spots: readonly Spot[], means: Means): void {
  const { values, random, second } = means
  const way = oneOf(random, [
    [1, () => random.below(RARELY / 20) === 0 && spot.put(vast(spot.value, random))],
    [3, () => spot.put(copied(random.pick(values)))],
    [2, () => spot.put(undefined)],
    [2, () => spot.put(copied(random.pick(spots).value))],
    [2, () => spot.put(copied(random.pick(spotsOf({ root: second ?? null })).value))],
    [3, () => spot.put(bent(spot.value, random))],
    [2, () => spot.put(copied(grown(spot.value, means)))],
    [1, () => spot.put([copied(spot.value)])],
  ])
  way()
}

/** The same kind of value, and a little another one. */
function bent(value: Json, random: SeededRandom): Json {
  if (typeof value === 'number')
    return random.pick([value + 1, value - 1, -value, value * 1_000, value / 2])
  if (typeof value === 'boolean') return !value
  if (typeof value !== 'string') return textOf(value) ?? null
  const at = random.below(value.length + 1)
  return random.pick([
    value.slice(0, at),
    value.slice(at),
    `${value}${value}`,
    value.toUpperCase(),
    `${value.slice(0, at)}${random.pick(['A', '=', '/', '.', '\n', '\0', '-', '9'])}${value.slice(at + 1)}`,
    Buffer.from(value).toString('base64'),
    pumped(value, at, random),
  ])
}

/** Much of one character: patterns that try each place again take long for it. */
function pumped(value: string, at: number, random: SeededRandom): string {
  if (random.below(10) > 0) return value
  const piece = random.pick([' ', '\n', '0', '=', 'a', '/', ':', '<a>', value.slice(at, at + 3)])
  return `${value.slice(0, at)}${piece.repeat(random.below(MOST_PUMPED))}${value.slice(at)}`
}

/** One item or key more. */
function grown(value: Json, { values, names, random }: Means): Json {
  if (Array.isArray(value)) return [...value, copied(random.pick([...value, ...values]))]
  if (typeof value !== 'object' || value === null) return { [random.pick(names)]: value }
  const entries = Object.entries(value)
  const more = entries.length === 0 ? random.pick(values) : random.pick(entries)[1]
  return { ...value, ...Object.fromEntries([[random.pick(names), copied(more)]]) }
}

/** Deeper, or with more items, than anything honest. */
function vast(value: Json, random: SeededRandom): Json {
  if (random.below(2) === 0) {
    return Array.from({ length: random.below(MOST_ITEMS) }, () => value)
  }
  let deep = value
  for (let left = random.below(MOST_DEPTH); left > 0; left -= 1) {
    deep = left % 2 === 0 ? [deep] : { a: deep }
  }
  return deep
}

/** What nests deeper than the runtime can copy is left as it is, also inside itself, and never written. */
function copied<T>(value: T): T {
  try {
    return structuredClone(value)
  } catch {
    return value
  }
}

function written(value: Json): Buffer | undefined {
  const text = textOf(value)
  return text === undefined ? undefined : Buffer.from(text).subarray(0, MAX_INPUT_BYTES)
}

/** Undefined for what nests deeper than the runtime can write, or is inside itself. */
function textOf(value: Json): string | undefined {
  try {
    return JSON.stringify(value) ?? 'null'
  } catch {
    return undefined
  }
}

function spotsOf(holder: { root: Json }): Spot[] {
  const spots: Spot[] = [
    { value: holder.root, put: (value) => Object.assign(holder, { root: value ?? null }) },
  ]
  for (let at = 0; at < spots.length && spots.length < 2_000; at += 1) {
    const value = spots[at]?.value
    if (typeof value === 'object' && value !== null) spots.push(...inside(value))
  }
  return spots
}

function inside(value: Json[] | { [key: string]: Json }): Spot[] {
  if (Array.isArray(value)) {
    return value.map((item, at) => ({
      value: item,
      put: (next) => (next === undefined ? value.splice(at, 1) : value.splice(at, 1, next)),
    }))
  }
  return Object.keys(value).map((key) => ({
    value: value[key] ?? null,
    put(next) {
      if (next === undefined) delete value[key]
      else
        Object.defineProperty(value, key, {
          value: next,
          enumerable: true,
          configurable: true,
          writable: true,
        })
    },
  }))
}

function parsed(input: Uint8Array): Json | undefined {
  try {
    return JSON.parse(Buffer.from(input).toString())
  } catch {
    return undefined
  }
}
