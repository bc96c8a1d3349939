/**
 * Which folder of `src/` may import from which. Imports point one way, each outside package belongs
 * to one place, and a folder that is not listed is an error. Imports of types count too, so this
 * reads the sources and not the output of a compiler.
 *
 * @module
 */

import { readdir, readFile } from 'node:fs/promises'
import { join, posix } from 'node:path'

/**
 * Each folder, the lowest first, with the folders that it may import from; it may always import its
 * own files. `services` and `kms` do not know each other, so that a new key service cannot change
 * the domain. `plugin` does not know `tools`, so that what handles keys while the plugin runs can
 * be reviewed by itself.
 */
export const ROOMS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  takeover: ['base'],
  remote: ['base'],
  observe: ['base'],
  policy: ['base', 'remote'],
  grpc: ['base', 'remote'],
  kms: ['base', 'takeover'],
  signer: ['base'],
  recovery: ['base', 'kms'],
  services: ['base', 'takeover', 'remote'],
  config: ['base', 'takeover', 'remote', 'policy', 'kms', 'signer', 'recovery', 'services'],
  plugin: [
    ...['base', 'takeover', 'remote', 'observe', 'policy', 'grpc', 'kms', 'recovery', 'services'],
    ...['signer', 'config'],
  ],
  console: ['base', 'grpc', 'config'],
  tools: [
    ...['base', 'takeover', 'remote', 'observe', 'policy', 'grpc', 'kms', 'recovery', 'services'],
    ...['config', 'plugin', 'console'],
  ],
  cli: ['base', 'recovery', 'services', 'plugin', 'console', 'tools'],
  main: ['base', 'console', 'cli'],
}

/** The rooms that know what is done with keys, and neither services nor wires. */
const DOMAINS: readonly string[] = ['kms', 'signer']

/** By the folder that may import the package, or by a folder in it. */
const OWNERS: Readonly<Record<string, readonly string[]>> = {
  '@bufbuild/cel': ['policy/cel'],
  '@bufbuild/protobuf': ['kms', 'grpc', 'policy/cel', 'tools/etcd'],
  '@grpc/grpc-js': ['grpc', 'tools/etcd'],
  aws4fetch: ['services/aws'],
  commander: ['cli'],
  jose: ['remote', 'recovery', 'policy', 'services', 'tools/audit', 'tools/policy'],
  'prom-client': ['observe'],
  'shamir-secret-sharing': ['kms'],
  undici: ['remote/http'],
  valibot: Object.keys(ROOMS).filter((room) => !DOMAINS.includes(room)),
  yaml: ['base/yaml', 'config', 'tools/kube'],
}

/** They use nothing of the platform but its cryptography and its bytes. */
const DOMAIN_PLATFORM: Readonly<Record<string, readonly string[]>> = {
  kms: ['node:crypto'],
  signer: ['node:crypto', 'node:buffer'],
}

/** It contains the version. */
const MANIFEST = 'package.json'

const STATEMENT = /^(?:import|export)\s(?:[\w\s{},*$]+\sfrom\s+)?['"]([^'"]+)['"]/gm
const DYNAMIC = /\bimport\(\s*(?:['"]([^'"]+)['"])?/g

/**
 * One line for each import that is not allowed.
 *
 * @param root the folder that contains `src`
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
  if (roomOf(file) === undefined) return [`${file}: its folder is not listed in build/layers.ts`]
  return importsOf(text)
    .filter((path) => !mayImport(file, targetOf(file, path)))
    .map((path) => `${file} -> ${path}`)
}

/** Every path that a text of TypeScript imports from. */
export function importsOf(text: string): string[] {
  const statements = [...text.matchAll(STATEMENT)].map(([, path]) => path ?? '')
  const dynamic = [...text.matchAll(DYNAMIC)].map(([, path]) => path ?? 'a name made at run time')
  return [...statements, ...dynamic]
}

/** A path from the root for our own files, and otherwise the name of the package or module. */
function targetOf(file: string, path: string): string {
  return path.startsWith('.') ? posix.join(posix.dirname(file), path) : path
}

function mayImport(file: string, target: string): boolean {
  const room = roomOf(file)
  if (target.startsWith('node:')) return DOMAIN_PLATFORM[room ?? '']?.includes(target) ?? true
  if (target === MANIFEST) return room === 'plugin'
  if (target.startsWith('src/')) return mayUse(file, target)
  const owners = OWNERS[packageOf(target)] ?? []
  return owners.some((owner) => owner === room || file.startsWith(`src/${owner}/`))
}

function mayUse(file: string, target: string): boolean {
  const [room, other] = [roomOf(file), roomOf(target)]
  if (room === undefined || other === undefined) return false
  if (room !== other) return ROOMS[room]?.includes(other) === true
  const [service, otherService] = [serviceOf(file), serviceOf(target)]
  return service === otherService || service === undefined || otherService === undefined
}

/** `main.ts` is in no folder, and nothing may import it. */
function roomOf(path: string): string | undefined {
  if (path === 'src/main.ts') return 'main'
  const folder = /^src\/([^/]+)\//.exec(path)?.[1]
  return folder !== undefined && folder !== 'main' && folder in ROOMS ? folder : undefined
}

/**
 * A key service does not know another one; files beside their folders are shared by all of them.
 */
function serviceOf(path: string): string | undefined {
  return /^src\/services\/([^/]+)\//.exec(path)?.[1]
}

function packageOf(name: string): string {
  return name.split('/', name.startsWith('@') ? 2 : 1).join('/')
}
