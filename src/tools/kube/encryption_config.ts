/**
 * The EncryptionConfiguration of an API server, decoded as kube-apiserver decodes it: what is null
 * or absent has Go's zero value, and an unknown field is a problem.
 *
 * @module
 */

import * as v from 'valibot'
import { KmsError, systemReasonOf } from '../../base/errors.ts'
import { readSmallBytes } from '../../base/small_file.ts'
import { readTree, SyntaxProblem } from './config_tree.ts'
import type { ConfigProblem } from './encryption_problem.ts'
import { kindProblems, ruleProblems } from './encryption_rules.ts'
import { list, maybe, text } from './go_json.ts'

const UNKNOWN = 'unknown field'
const INT32 = 2 ** 31

/** Decodes an object; a field that is not in `entries` is an issue. */
function fields<T extends v.ObjectEntries>(entries: T) {
  return v.pipe(
    v.custom<object>(isMapping),
    v.looseObject(entries),
    v.rawCheck(({ dataset: { value: input }, addIssue }) => {
      if (!isMapping(input)) return
      const unknown = Object.entries(input).filter(([key]) => !Object.hasOwn(entries, key))
      for (const [key, value] of unknown) {
        addIssue({ message: UNKNOWN, path: [{ type: 'object', origin: 'key', input, key, value }] })
      }
    }),
  )
}

/** Excludes lists, which are objects in JavaScript. */
function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const staticKeys = maybe(
  fields({ keys: list(v.nullish(fields({ name: text, secret: text }), {})) }),
)
const kms = fields({
  apiVersion: text,
  name: text,
  endpoint: text,
  timeout: maybe(v.string()),
  cachesize: maybe(v.pipe(v.number(), v.integer(), v.minValue(-INT32), v.maxValue(INT32 - 1))),
})
const provider = fields({
  kms: maybe(kms),
  aesgcm: staticKeys,
  aescbc: staticKeys,
  secretbox: staticKeys,
  identity: maybe(fields({})),
})
const rule = fields({ resources: list(text), providers: list(v.nullish(provider, {})) })
const schema = fields({ apiVersion: text, kind: text, resources: list(v.nullish(rule, {})) })

export type EncryptionConfig = v.InferOutput<typeof schema>
export type ProviderEntry = v.InferOutput<typeof provider>
export type KmsEntry = v.InferOutput<typeof kms>

export interface EncryptionFile {
  /** Undefined where the file cannot be decoded. */
  readonly config: EncryptionConfig | undefined
  /** What keeps an API server from starting with it. */
  readonly problems: readonly ConfigProblem[]
  /** Whether another YAML document follows, which the API server does not read. */
  readonly moreDocuments: boolean
}

/** Names of the resources that are encrypted when they are written, as the file names them. */
export function encryptedResources({ resources }: EncryptionConfig): string[] {
  return resources
    .filter(({ providers: [first] }) => first?.identity === undefined)
    .flatMap((each) => each.resources)
}

/**
 * The configuration as far as a tool needs it, whether or not an API server would start with it.
 *
 * @throws KmsError `request_invalid`, which never quotes the file, since it may hold keys
 */
export async function readEncryptionConfig(path: string): Promise<EncryptionConfig> {
  const { config, problems } = await readEncryptionFile(path)
  const isOther = problems.some(({ id }) => id === 'encryption-kind')
  if (config !== undefined && config.resources.length > 0 && !isOther) return config
  const why = problems.map(({ at, what }) => `at ${at} ${what}`).join('; ')
  throw refused(path, `is not an EncryptionConfiguration: ${why}`)
}

/** @throws KmsError `request_invalid` where the file does not exist */
export async function readEncryptionFile(path: string): Promise<EncryptionFile> {
  let bytes: Uint8Array
  try {
    bytes = await readSmallBytes(path)
  } catch (cause) {
    throw refused(path, `cannot be read: ${systemReasonOf(cause)}`, cause)
  }
  return decodeEncryptionConfig(bytes)
}

function decodeEncryptionConfig(bytes: Uint8Array): EncryptionFile {
  try {
    const { value, duplicates, more } = readTree(bytes)
    const read = v.safeParse(schema, value)
    const config = read.typed ? read.output : undefined
    const problems = [
      ...kindProblems(value),
      ...duplicates.map(duplicate),
      ...(read.issues ?? []).map(undecodable),
      ...(config === undefined ? [] : ruleProblems(config)),
    ]
    return { config, problems, moreDocuments: more }
  } catch (error) {
    if (!(error instanceof SyntaxProblem)) throw error
    return { config: undefined, problems: [syntax(error)], moreDocuments: false }
  }
}

function syntax({ message }: SyntaxProblem): ConfigProblem {
  return {
    id: 'encryption-syntax',
    at: 'the file',
    what: `it cannot be parsed: ${message}`,
    todo: 'Correct the file: YAML with spaces for indents, or JSON.',
  }
}

function duplicate(at: string): ConfigProblem {
  return {
    id: 'encryption-field-twice',
    at: shown(at),
    what: 'the field stands there twice',
    todo: 'Take one of them out.',
    since: 31,
  }
}

function undecodable(issue: v.BaseIssue<unknown>): ConfigProblem {
  const at = shown(pathOf(issue))
  if (issue.message !== UNKNOWN) {
    return {
      id: 'encryption-type',
      at,
      what: `it has a value of another kind than wanted: ${wantedFor(issue)}`,
      todo: 'Correct the value. In YAML write quotes around text that reads as a number or as yes and no.',
    }
  }
  return {
    id: 'encryption-unknown-field',
    at,
    what: 'there is no such field at this place',
    todo: 'See how it is written, small and capital letters too, and how far it is indented.',
    since: 31,
  }
}

function wantedFor({ expected }: v.BaseIssue<unknown>): string {
  if (expected === 'Array') return 'a list'
  if (expected === 'string') return 'text'
  return expected === 'unknown' ? 'a mapping' : 'a whole number of 32 bits'
}

function pathOf(issue: v.BaseIssue<unknown>): string {
  return (issue.path ?? [])
    .map(({ type, key }) => (type === 'array' ? `[${key}]` : `.${key}`))
    .join('')
    .replace(/^\./, '')
}

/** Only names are shown: with a wrong indent, something else could be the secret of a key. */
function shown(path: string): string {
  const names = path.replaceAll(/[^.[\]]+/g, (name) =>
    /^[A-Za-z][A-Za-z-]{0,30}$|^\d{1,6}$/.test(name) ? name : '(no name of a field)',
  )
  return names === '' ? 'the file' : names
}

function refused(path: string, why: string, cause?: unknown): KmsError {
  return new KmsError(`File ${path} ${why}`, { code: 'request_invalid', cause })
}
