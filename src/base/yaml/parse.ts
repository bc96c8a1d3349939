/**
 * Reads YAML that somebody else may have written, in a time that grows with its length alone: the
 * parser itself compares each key with all before it, quotes the text for each of its errors, and
 * writes out a key that is a list or a mapping again for each level that it stands in.
 *
 * @module
 */

import {
  type Document,
  type DocumentOptions,
  type ErrorCode,
  isAlias,
  isCollection,
  isScalar,
  type LineCounter,
  type Node,
  type Pair,
  parseDocument,
  visit,
  YAMLParseError,
} from 'yaml'

interface Options extends Pick<DocumentOptions, 'version'> {
  readonly lineCounter?: LineCounter
}

/** The parser would warn, outside of what is answered here, in the words of the text. */
const QUIET = { uniqueKeys: false, prettyErrors: false, logLevel: 'error' } as const

/** An alias may stand for either, or for a key that is there already. */
const ODD_KEY = 'A key is a list, a mapping or an alias'

/** Among the errors of the document is each key that its mapping has already, or that is no scalar. */
export function yamlDocument(text: string, options: Options = {}): Document.Parsed {
  const document = parseDocument(text, { ...options, ...QUIET })
  const wrong = wrongKeys(document)
  if (wrong.length > 0) {
    document.errors.push(...wrong)
    document.errors.sort((a, b) => a.pos[0] - b.pos[0])
  }
  return document
}

/**
 * The same as a value.
 *
 * @throws Error whose words may quote the text
 */
export function parseYaml(text: string, maxAliasCount?: number): unknown {
  const document = yamlDocument(text)
  const [error] = document.errors
  if (error !== undefined) throw error
  return document.toJS(maxAliasCount === undefined ? {} : { maxAliasCount })
}

function wrongKeys(document: Document): YAMLParseError[] {
  const wrong: YAMLParseError[] = []
  visit(document, {
    Map(_key, { items }) {
      const found = wrongIn(items)
      wrong.push(...found)
      // Below a key that is no scalar, each level would be told again.
      return found.some(({ code }) => code === 'NON_STRING_KEY') ? visit.SKIP : undefined
    },
  })
  return wrong
}

function wrongIn(items: readonly Pair<unknown>[]): YAMLParseError[] {
  const keys = items.map(({ key }) => key)
  const odd = keys.find((key) => isCollection(key) || isAlias(key))
  if (odd !== undefined) return [wrongKey(odd, 'NON_STRING_KEY', ODD_KEY)]
  const known = new Set<unknown>()
  return keys.flatMap((key) => {
    if (!isScalar(key)) return []
    const isKnown = known.has(key.value)
    known.add(key.value)
    return isKnown ? [wrongKey(key, 'DUPLICATE_KEY', 'A key stands there twice')] : []
  })
}

function wrongKey({ range }: Node, code: ErrorCode, message: string): YAMLParseError {
  const [at] = range ?? [0]
  return new YAMLParseError([at, at + 1], code, message)
}
