/**
 * Reads a configuration file as an API server does: as JSON where it begins with a brace, otherwise
 * as the first document of YAML 1.1, in which some words without quotes are not text (`yes`, `on`,
 * `1`).
 *
 * @module
 */

import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  parseDocument,
  Scalar,
  visit,
  type YAMLMap,
} from 'yaml'

interface ConfigTree {
  /** In JSON's data model. */
  readonly value: unknown
  /** Keys that occur twice in one mapping: `resources[0].providers`. */
  readonly duplicates: readonly string[]
  /** Whether another YAML document follows, which the API server does not read. */
  readonly more: boolean
}

/** The file is no configuration file at all; the message quotes nothing of it. */
export class SyntaxProblem extends Error {}

const BRACE = /^\s*\{/
/** YAML does not allow these characters. */
const CONTROL = /(?![\t\n\r\u0085])[\p{Cc}\ufffe\uffff]/u
/** Directives, comments and the marker before the first document. */
const START = /^\ufeff?(?:(?:[%#].*|[^\S\n]*)\n)*(?:---(?=\s|$))?/
const MARK = /^(?:---|\.\.\.)(?=\s|$)/m
/** More than markers and comments. */
const CONTENT = /^(?!(?:---|\.\.\.)?[^\S\n]*$|[^\S\n]*#)/m
/** With pretty errors, each one would cost as much as its line is long. */
const OPTIONS = {
  ...({ version: '1.1', schema: 'failsafe', merge: false } as const),
  ...{ uniqueKeys: false, prettyErrors: false },
}
const OTHER_VERSION = /^%YAML (?!1\.1\b)/m

/** @throws SyntaxProblem */
export function readTree(bytes: Uint8Array): ConfigTree {
  if (bytes.length === 0) throw new SyntaxProblem('it is empty')
  const text = decoded(bytes)
  return BRACE.test(text) ? jsonTree(text) : yamlTree(text)
}

function jsonTree(text: string): ConfigTree {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    const why = 'it begins with a brace, so it is read as JSON, and is none'
    throw new SyntaxProblem(why, { cause })
  }
  // Nearly all JSON is YAML, and only the YAML parser finds keys that occur twice.
  const document = documentOf(text)
  if (document.errors.length > 0) return { value, duplicates: [], more: false }
  const reader = new Reader(document, true)
  return { value: reader.read(document.contents, ''), duplicates: reader.duplicates, more: false }
}

function yamlTree(text: string): ConfigTree {
  if (CONTROL.test(text)) throw new SyntaxProblem('it has control characters')
  const { first, rest } = split(text)
  const document = documentOf(first)
  const [error] = document.errors
  if (error !== undefined) throw new SyntaxProblem(sayWhere(error.code, text, error.pos[0]))
  if (OTHER_VERSION.test(first)) {
    throw new SyntaxProblem('it says that it is of another version of YAML than 1.1')
  }
  const reader = new Reader(document, false)
  const value = reader.read(document.contents, '')
  return { value, duplicates: reader.duplicates, more: CONTENT.test(rest) }
}

/** What follows the first document is not even parsed. */
function split(text: string): { first: string; rest: string } {
  const [start = ''] = START.exec(text) ?? []
  const end = text.slice(start.length).search(MARK)
  const at = end === -1 ? text.length : start.length + end
  return { first: text.slice(0, at), rest: text.slice(at) }
}

function documentOf(text: string): Document.Parsed {
  return within(() => parseDocument(text, OPTIONS))
}

/** Parser and visitor go down with the text, and at some depth there is no stack left. */
function within<T>(work: () => T): T {
  try {
    return work()
  } catch (cause) {
    throw new SyntaxProblem('it nests too deep', { cause })
  }
}

function decoded(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new SyntaxProblem('it is not UTF-8', { cause })
  }
}

function sayWhere(code: string, text: string, at: number): string {
  const line = text.slice(0, at).split('\n').length
  return `line ${line}: ${code.toLowerCase().replaceAll('_', ' ')}`
}

const NULLS = new Set(['', '~', 'null', 'Null', 'NULL'])
const TRUES = new Set('y Y yes Yes YES true True TRUE on On ON'.split(' '))
const FALSES = new Set('n N no No NO false False FALSE off Off OFF'.split(' '))
const NUMBER = /^[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:e[-+]?\d+)?$/i
const OTHER_BASE = /^[-+]?0(?:b[01]+|o?[0-7]+|x[\da-f]+)$/i
const NO_NUMBER = /^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$/
const MAX_NODES = 2_000
const JSON_INTEGER = /^-?\d+$/

class Reader {
  readonly duplicates: string[] = []
  readonly #meanings: ReadonlyMap<Alias, Node | undefined>
  readonly #isJson: boolean
  /** The number of nodes is limited, so that deep nesting cannot overflow the stack. */
  #left = MAX_NODES

  constructor(document: Document, isJson: boolean) {
    this.#meanings = meaningsIn(document)
    this.#isJson = isJson
  }

  read(node: unknown, at: string): unknown {
    this.#count()
    if (isAlias(node)) return this.read(this.#meant(node), at)
    if (isSeq(node)) return node.items.map((item, index) => this.read(item, `${at}[${index}]`))
    if (!isMap(node)) return isScalar<string>(node) ? this.#scalar(node) : null
    const fields: Record<string, unknown> = Object.create(null)
    this.#fill(fields, node, at)
    return { ...fields }
  }

  #fill(fields: Record<string, unknown>, { items }: YAMLMap, at: string): void {
    for (const pair of items) {
      if (isMerge(pair)) {
        for (const map of this.#merged(pair.value)) this.#fill(fields, map, at)
        continue
      }
      const key = this.#key(pair.key)
      const path = at === '' ? key : `${at}.${key}`
      if (key in fields) this.duplicates.push(path)
      fields[key] = this.read(pair.value, path)
    }
  }

  #count(): void {
    this.#left -= 1
    if (this.#left < 0)
      throw new SyntaxProblem('it is longer than any, or its aliases go in circles')
  }

  #merged(value: unknown): YAMLMap[] {
    this.#count()
    const node = isAlias(value) ? this.#meant(value) : value
    if (isMap(node)) return [node]
    if (!isSeq(node)) throw new SyntaxProblem('it merges (<<) what is no mapping')
    return node.items.toReversed().flatMap((item) => this.#merged(item))
  }

  #meant(alias: Alias): unknown {
    const node = this.#meanings.get(alias)
    if (node !== undefined) return node
    throw new SyntaxProblem('a star without quotes begins an alias, and there is none of that name')
  }

  #key(node: unknown): string {
    const key = this.read(node, '')
    if (key === null || typeof key === 'object') {
      throw new SyntaxProblem('a key of it is null, a list or a mapping')
    }
    return String(key)
  }

  #scalar({ type, value, tag }: Scalar<string>): unknown {
    if (type !== Scalar.PLAIN && tag === undefined) return value
    if (tag === '!' || tag === 'tag:yaml.org,2002:str') return value
    if (NULLS.has(value)) return null
    if (TRUES.has(value)) return true
    if (FALSES.has(value)) return false
    if (NO_NUMBER.test(value)) return Number.NaN
    return this.#number(value.replaceAll('_', '')) ?? value
  }

  #number(text: string): number | undefined {
    if (this.#isJson) return JSON_INTEGER.test(text) ? Number(text) : Number.NaN
    if (OTHER_BASE.test(text)) {
      const digits = text.replace(/^[-+]/, '').replace(/^0(?=[0-7])/, '0o')
      return Number(digits) * (text.startsWith('-') ? -1 : 1)
    }
    return NUMBER.test(text) ? Number(text) : undefined
  }
}

/** What each alias means, found in one pass: the last node before it that has its name. */
function meaningsIn(document: Document): Map<Alias, Node | undefined> {
  const named = new Map<string, Node>()
  const meanings = new Map<Alias, Node | undefined>()
  const note = (_key: unknown, node: Node) => {
    if (isAlias(node)) meanings.set(node, named.get(node.source))
    else if (node.anchor !== undefined) named.set(node.anchor, node)
  }
  within(() => visit(document, { Node: note }))
  return meanings
}

function isMerge({ key }: Pair): boolean {
  return isScalar(key) && key.value === '<<' && key.type === Scalar.PLAIN
}
