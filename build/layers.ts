/**
 * Which folder of `src/` may import what: imports point one way, one place owns
 * each outside package, and a folder that is not listed is an error. Types count
 * too, so this reads the sources and not what a compiler leaves of them.
 *
 * @module
 */

import { readdir, readFile } from 'node:fs/promises'
import { join, posix } from 'node:path'

/** Lowest first; a folder may import from lower ranks, not from its own neighbours. */
const RANKS: readonly (readonly string[])[] = [
  ['kms'],
  ['http'],
  ['auth'],
  ['policy', 'recovery', 'providers'],
  ['config', 'observe', 'grpc', 'etcd', 'kube'],
  ['cli'],
]

const ABOVE_KMS = RANKS.slice(1).flat()

const OWNERS: Readonly<Record<string, readonly string[]>> = {
  '@bufbuild/protobuf': ['kms', 'grpc', 'etcd'],
  '@grpc/grpc-js': ['grpc'],
  aws4fetch: ['auth'],
  commander: ['cli'],
  jose: ['auth', 'recovery'],
  pino: ['observe'],
  'prom-client': ['observe'],
  'shamir-secret-sharing': ['kms'],
  undici: ['http'],
  valibot: ABOVE_KMS,
  yaml: ['config', 'kube'],
}

/** The domain names nothing of the platform but its cryptography and, in the system's clock, its timers. */
const KMS_PLATFORM = ['node:crypto', 'node:timers']

/** The version is in it. */
const MANIFEST = 'package.json'

const STATEMENT = /^(?:import|export)\s(?:[\w\s{},*$]+\sfrom\s+)?['"]([^'"]+)['"]/gm
const DYNAMIC = /\bimport\(\s*(?:['"]([^'"]+)['"])?/g

/**
 * One line for each import that points the wrong way.
 *
 * @param root the folder that `src` stands in
 */
export async function layerProblems(root: string): Promise<string[]> {
  const files = (await readdir(join(root, 'src'), { recursive: true }))
    .map((file) => posix.join('src', file.replaceAll('\\', '/')))
    .filter((file) => file.endsWith('.ts'))
    .sort()
  const problems = await Promise.all(
    files.map(async (file) => problemsOf(file, await readFile(join(root, file), 'utf8'))),
  )
  return problems.flat()
}

function problemsOf(file: string, text: string): string[] {
  const from = layerOf(file)
  if (from === undefined) return [`${file}: its folder is not listed in build/layers.ts`]
  return importsOf(text)
    .filter((path) => !mayImport(from, targetOf(file, path)))
    .map((path) => `${file} -> ${path}`)
}

function importsOf(text: string): string[] {
  const statements = [...text.matchAll(STATEMENT)].map(([, path]) => path ?? '')
  const dynamic = [...text.matchAll(DYNAMIC)].map(([, path]) => path ?? 'a name made at run time')
  return [...statements, ...dynamic]
}

/** A path from the root for what is ours, and the package's or module's own name for the rest. */
function targetOf(file: string, path: string): string {
  return path.startsWith('.') ? posix.join(posix.dirname(file), path) : path
}

function mayImport(from: string, target: string): boolean {
  if (target.startsWith('node:')) return from !== 'kms' || KMS_PLATFORM.includes(target)
  if (target === MANIFEST) return from === 'cli'
  if (target.startsWith('src/')) return mayImportLayer(from, layerOf(target))
  return (OWNERS[packageOf(target)] ?? []).includes(from)
}

function mayImportLayer(from: string, to: string | undefined): boolean {
  if (from === 'main') return to === 'cli'
  return to !== undefined && (to === from || rankOf(to) < rankOf(from))
}

/** `main.ts` alone stands beside the folders; nothing may import it. */
function rankOf(layer: string): number {
  const rank = RANKS.findIndex((layers) => layers.includes(layer))
  return rank === -1 ? RANKS.length : rank
}

function layerOf(path: string): string | undefined {
  if (path === 'src/main.ts') return 'main'
  const folder = /^src\/([^/]+)\//.exec(path)?.[1]
  return folder !== undefined && rankOf(folder) < RANKS.length ? folder : undefined
}

function packageOf(name: string): string {
  return name.split('/', name.startsWith('@') ? 2 : 1).join('/')
}
