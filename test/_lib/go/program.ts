/** Programs in Go that the tests use, each built once for its sources into a cache outside the tree. @module */

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const PROGRAMS = fileURLToPath(new URL('../../e2e/', import.meta.url))
const CACHE = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'trousseau')
/** Modules are downloaded and compiled, on a fresh machine beside other work. */
const BUILD_LIMIT_MS = 600_000
const run = promisify(execFile)

/** @param name of its folder in `test/e2e`; resolves to the path of the program */
export async function buildGoProgram(name: string): Promise<string> {
  const sources = join(PROGRAMS, name)
  const digest = createHash('sha256')
  for (const file of ['main.go', 'go.mod', 'go.sum']) {
    digest.update(await readFile(join(sources, file)))
  }
  const path = join(CACHE, `${name.replaceAll('_', '-')}-${digest.digest('hex').slice(0, 16)}`)
  const there = await access(path).then(
    () => true,
    () => false,
  )
  if (there) return path
  await mkdir(CACHE, { recursive: true })
  const draft = await mkdtemp(`${path}.new-`)
  try {
    const env = { ...process.env, GOFLAGS: '-mod=readonly -buildvcs=false', GOTOOLCHAIN: 'local' }
    const output = join(draft, 'program')
    await run('go', ['build', '-trimpath', '-o', output, '.'], {
      cwd: sources,
      env,
      timeout: BUILD_LIMIT_MS,
    })
    await rename(output, path)
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
  return path
}

/** What the program prints, as JSON. A failure is an exit code and a report too. */
export async function reportOf(name: string, args: readonly string[]): Promise<unknown> {
  const { stdout } = await run(await buildGoProgram(name), [...args]).catch(
    (error: { stdout?: string }) => {
      if (typeof error.stdout !== 'string' || error.stdout === '') throw error
      return { stdout: error.stdout }
    },
  )
  return JSON.parse(stdout)
}
