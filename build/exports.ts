/**
 * Which exports nobody imports, and which files nobody reaches: an `export` says that
 * others may depend on it, so a reader looks for them. Types count too, so this reads
 * the sources and not what a compiler leaves of them. It knows only how the sources are
 * written here, and a form that it cannot read is a problem and no guess.
 *
 * @module
 */

import { readdir, readFile } from 'node:fs/promises'
import { join, posix } from 'node:path'

export interface ExportReport {
  /** One line for each export or file that nothing uses, or that cannot be read. */
  readonly problems: readonly string[]
  /** Exports of `src/` that only tests import. */
  readonly forTests: readonly string[]
}

const FOLDERS = ['src', 'test', 'build']
/** Where files may be named that no other one imports: they are run by their path. */
const NAMING = ['package.json', '.ci/run']
const ENTRY = /^src\/main\.ts$|\.test\.ts$/
/** What they hold is not ours to choose. */
const FOREIGN = /_pb\.ts$|\.d\.ts$/

/** Sources may stand in a template, and words in a comment: neither is code of its file. */
const NO_CODE =
  /\/\*[\s\S]*?\*\/|\/\/.*|`(?:\\.|[^`\\])*`|('(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*")/g
const EXPORT =
  /^export (?:async )?(?:const|let|type|interface|function\*?|(?:abstract )?class) ([\w$]+)|^export(.*)/gm
const IMPORT = /^import\s(?:([^'"]+?)\sfrom\s+)?['"](\.[^'"]+)['"]/gm
const WHOLE = /\bimport\(\s*['"](\.[^'"]+)['"]/g
const RELATIVE = /['"]\.[^'"\n]+['"]/g

interface Source {
  readonly path: string
  readonly text: string
  /** All of its words but those in templates, comments and paths of imports. */
  readonly words: ReadonlySet<string>
  readonly exports: readonly string[]
  readonly unreadable: readonly string[]
  readonly imports: readonly Import[]
}

interface Import {
  readonly target: string
  /** Undefined where it takes the module as a whole. */
  readonly names: readonly string[] | undefined
}

/** @param root the folder that `src`, `test` and `build` stand in */
export async function exportReport(root: string): Promise<ExportReport> {
  const sources = await sourcesIn(root)
  const users = usersOf(sources)
  const reached = await reachedIn(root, sources)
  const ours = sources.filter(({ path }) => !FOREIGN.test(path))
  const exported = ours.flatMap(({ path, exports }) =>
    exports.map((name) => ({ path, name, by: users.get(`${path} ${name}`) ?? [] })),
  )
  const problems = [
    ...ours.flatMap(({ path, unreadable }) =>
      unreadable.map((line) => `${path}: cannot read "${line}"`),
    ),
    ...ours.filter(({ path }) => !reached(path)).map(({ path }) => `${path}: nothing uses it`),
    ...exported
      .filter(({ by }) => by.length === 0)
      .map(({ path, name }) => `${path}: nothing imports ${name}`),
  ]
  const forTests = exported.filter(({ path, by }) => isForTests(path, by))
  return {
    problems,
    forTests: forTests.map(({ path, name }) => `${path}: ${name}`),
  }
}

async function sourcesIn(root: string): Promise<Source[]> {
  const listed = await Promise.all(
    FOLDERS.map(async (folder) => {
      const files = await readdir(join(root, folder), { recursive: true })
      return files.map((file) => posix.join(folder, file.replaceAll('\\', '/')))
    }),
  )
  const paths = listed.flat().filter((path) => path.endsWith('.ts'))
  return await Promise.all(
    paths.sort().map(async (path) => sourceOf(path, await readFile(join(root, path), 'utf8'))),
  )
}

function sourceOf(path: string, text: string): Source {
  const code = text.replace(NO_CODE, '$1')
  const found = [...code.matchAll(EXPORT)]
  const exports = new Set(found.map(([, name]) => name).filter((name) => name !== undefined))
  const unreadable = found.filter(([, name]) => name === undefined).map(([line]) => line)
  const words = new Set(code.replace(RELATIVE, '').match(/[\w$]+/g))
  return { path, text, words, exports: [...exports], unreadable, imports: importsOf(path, code) }
}

function importsOf(path: string, code: string): Import[] {
  const at = (target: string) => posix.join(posix.dirname(path), target)
  const statements = [...code.matchAll(IMPORT)].map(([, clause = '', target = '']) => ({
    target: at(target),
    names: namesIn(clause),
  }))
  const whole = [...code.matchAll(WHOLE)].map(([, target = '']) => ({
    target: at(target),
    names: undefined,
  }))
  return [...statements, ...whole]
}

function namesIn(clause: string): string[] | undefined {
  if (clause.includes('*')) return undefined
  return clause
    .replace(/[{}]/g, '')
    .split(',')
    .map((each) => /^\s*(?:type\s+)?([\w$]+)/.exec(each)?.[1])
    .filter((name) => name !== undefined)
}

/**
 * The files that import each export, by its file and name. Whoever takes a module as a
 * whole uses what it names of it.
 */
function usersOf(sources: readonly Source[]): Map<string, string[]> {
  const exportsOf = new Map(sources.map(({ path, exports }) => [path, exports]))
  const users = new Map<string, string[]>()
  for (const { path, words, imports } of sources) {
    const named = (target: string) => exportsOf.get(target)?.filter((name) => words.has(name)) ?? []
    for (const { target, names = named(target) } of imports) {
      for (const name of names) {
        const key = `${target} ${name}`
        users.set(key, [...(users.get(key) ?? []), path])
      }
    }
  }
  return users
}

function isForTests(path: string, users: readonly string[]): boolean {
  return (
    path.startsWith('src/') && users.length > 0 && users.every((user) => user.startsWith('test/'))
  )
}

/** Scripts are reached by their name, what is part of the plugin by an import alone. */
async function reachedIn(
  root: string,
  sources: readonly Source[],
): Promise<(path: string) => boolean> {
  const imported = new Set(sources.flatMap(({ imports }) => imports.map(({ target }) => target)))
  const naming = await Promise.all(NAMING.map((file) => readFile(join(root, file), 'utf8')))
  const isNamed = (path: string) => {
    const name = posix.basename(path)
    const others = sources.filter((each) => each.path !== path).map(({ text }) => text)
    return [...naming, ...others].some((text) => text.includes(name))
  }
  return (path) =>
    ENTRY.test(path) || imported.has(path) || (!path.startsWith('src/') && isNamed(path))
}
