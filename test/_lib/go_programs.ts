/**
 * Programs built once from their Go modules into a cache outside the tree: what stands
 * in the tree is only which modules, at which versions.
 *
 * @module
 */

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'

const CACHE = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'trousseau')
const run = promisify(execFile)
const OUTPUT_BYTES = 64 * 1024 * 1024
/** Two that build the same at once take twice as long; the second one waits for the first. */
const LOCK_S = 3_600
const UNLESS_THERE =
  'folder=$1 draft=$2; shift 2; test -d "$folder" || { "$@" && mv -T "$draft/bin" "$folder"; }'

export interface GoPrograms {
  /** Of the folder in the cache. */
  readonly name: string
  /** The folder with `go.mod`. */
  readonly sources: string
  readonly packages: readonly string[]
  readonly linkerFlags?: readonly string[]
  readonly tags?: string
  /** Files of `sources` that stand in for, or beside, those of a module: by `module/path/in/it`. */
  readonly overlay?: Readonly<Record<string, string>>
}

/** Resolves to the folder of the programs, under a name that the module's files and the flags decide. */
export async function goPrograms(wanted: GoPrograms): Promise<string> {
  const { name, sources } = wanted
  const folder = join(CACHE, `${name}-${await digestOf(wanted)}`)
  if (await exists(folder)) return folder
  await mkdir(CACHE, { recursive: true })
  const draft = await mkdtemp(join(CACHE, `${name}.new-`))
  try {
    const build = ['go', 'build', ...(await flagsOf(wanted, draft)), '-o', `${draft}/bin/`]
    // The lock ends with whoever holds it, however that ends.
    const alone = ['--timeout', String(LOCK_S), `${folder}.lock`, 'sh', '-c', UNLESS_THERE, 'sh']
    await run('flock', [...alone, folder, draft, ...build, ...wanted.packages], {
      cwd: sources,
      env: goEnvironment(),
      maxBuffer: OUTPUT_BYTES,
    })
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
  return folder
}

function goEnvironment(): NodeJS.ProcessEnv {
  return {
    ...process.env,
    GOFLAGS: '-mod=readonly -buildvcs=false',
    GOTOOLCHAIN: 'local',
    CGO_ENABLED: '0',
  }
}

async function digestOf(wanted: GoPrograms): Promise<string> {
  const { packages, linkerFlags = [], tags, overlay } = wanted
  const digest = createHash('sha256').update([...packages, ...linkerFlags].join('\n'))
  if (tags !== undefined) digest.update(`\ntags ${tags}`)
  if (overlay !== undefined) digest.update(`\noverlay ${JSON.stringify(overlay)}`)
  for (const file of (await readdir(wanted.sources)).sort()) {
    digest.update(await readFile(join(wanted.sources, file)))
  }
  return digest.digest('hex').slice(0, 16)
}

async function flagsOf(wanted: GoPrograms, draft: string): Promise<string[]> {
  const { linkerFlags = [], tags, overlay } = wanted
  const flags = ['-trimpath', '-ldflags', ['-s', '-w', ...linkerFlags].join(' ')]
  if (tags !== undefined) flags.push('-tags', tags)
  if (overlay !== undefined) flags.push('-overlay', await writeOverlay(wanted, overlay, draft))
  return flags
}

/** Go wants the modules' files by their paths in its own cache. */
async function writeOverlay(
  { sources }: GoPrograms,
  overlay: Readonly<Record<string, string>>,
  draft: string,
): Promise<string> {
  const replaced: Record<string, string> = {}
  for (const [path, file] of Object.entries(overlay)) {
    const [module = '', inside = ''] = path.split('//')
    const list = ['list', '-m', '-f', '{{.Dir}}', module]
    const { stdout } = await run('go', list, { cwd: sources, env: goEnvironment() })
    replaced[join(stdout.trim(), inside)] = join(sources, file)
  }
  const path = join(draft, 'overlay.json')
  await writeFile(path, JSON.stringify({ Replace: replaced }))
  return path
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
