/**
 * Programs built once from their Go modules into a cache outside the tree. The tree only says which
 * modules at which versions.
 *
 * @module
 */

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'

const CACHE = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'trousseau')
const run = promisify(execFile)
const OUTPUT_BYTES = 64 * 1024 * 1024
/**
 * Two builds of the same at once would take twice as long, so the second one waits for the first.
 */
const LOCK_S = 3_600
const UNLESS_THERE =
  'folder=$1 draft=$2; shift 2; test -d "$folder" || { "$@" && mv -T "$draft/bin" "$folder"; }'

interface GoPrograms {
  /** Of the folder in the cache. */
  readonly name: string
  /** The folder with `go.mod`. */
  readonly sources: string
  readonly packages: readonly string[]
  readonly linkerFlags: readonly string[]
  readonly tags?: string | undefined
}

/** Resolves to the folder of the programs; its name depends on the module's files and the flags. */
export async function goPrograms(wanted: GoPrograms): Promise<string> {
  const { name, sources } = wanted
  const folder = join(CACHE, `${name}-${await digestOf(wanted)}`)
  if (await exists(folder)) return folder
  await mkdir(CACHE, { recursive: true })
  const draft = await mkdtemp(join(CACHE, `${name}.new-`))
  try {
    const build = ['go', 'build', ...flagsOf(wanted), '-o', `${draft}/bin/`]
    // The lock is released when its holder ends, however that ends.
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

async function digestOf({ sources, packages, linkerFlags, tags }: GoPrograms): Promise<string> {
  const flags = tags === undefined ? linkerFlags : [...linkerFlags, `tags=${tags}`]
  const digest = createHash('sha256').update([...packages, ...flags].join('\n'))
  for (const file of (await readdir(sources)).sort()) {
    digest.update(await readFile(join(sources, file)))
  }
  return digest.digest('hex').slice(0, 16)
}

function flagsOf({ linkerFlags, tags }: GoPrograms): string[] {
  // What a debugger reads is not linked in anyway, and making it is a tenth of the work.
  const quick = ['-trimpath', '-gcflags', 'all=-dwarf=false']
  const flags = [...quick, '-ldflags', ['-s', '-w', ...linkerFlags].join(' ')]
  return tags === undefined ? flags : [...flags, '-tags', tags]
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
