/**
 * Reads YAML that somebody else may have written, in a time that grows with its length alone: the
 * parser itself compares each key with all before it, and quotes the text for each of its errors.
 *
 * @module
 */

import {
  type Document,
  type DocumentOptions,
  isScalar,
  type LineCounter,
  parseDocument,
  visit,
  YAMLParseError,
} from 'yaml'

interface Options extends Pick<DocumentOptions, 'version'> {
  readonly lineCounter?: LineCounter
}

/** The parser would warn, outside of what is answered here, in the words of the text. */
const QUIET = { uniqueKeys: false, prettyErrors: false, logLevel: 'error' } as const

/** Among the errors of the document is each key that its mapping has already. */
export function yamlDocument(text: string, options: Options = {}): Document.Parsed {
  const document = parseDocument(text, { ...options, ...QUIET })
  const repeated = repeatedKeys(document)
  if (repeated.length > 0) {
    document.errors.push(...repeated)
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

function repeatedKeys(document: Document): YAMLParseError[] {
  const repeated: YAMLParseError[] = []
  visit(document, {
    Map(_key, { items }) {
      const known = new Set<unknown>()
      for (const { key } of items) {
        if (!isScalar(key)) continue
        if (known.has(key.value)) repeated.push(repeatedKey(key.range?.[0] ?? 0))
        known.add(key.value)
      }
    },
  })
  return repeated
}

function repeatedKey(at: number): YAMLParseError {
  return new YAMLParseError([at, at + 1], 'DUPLICATE_KEY', 'A key stands there twice')
}
