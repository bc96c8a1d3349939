/** Node of another version, brought once from the registry into the cache. @module */

import { execFile } from 'node:child_process'
import { access } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'

const CACHE = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'trousseau')

/** Resolves to its program. */
export async function nodeProgram(version: string): Promise<string> {
  const name = `node-linux-${process.arch}`
  const folder = join(CACHE, `${name}-${version}`)
  const program = join(folder, 'node_modules', name, 'bin', 'node')
  const isThere = await access(program).then(
    () => true,
    () => false,
  )
  if (!isThere) {
    const options = ['--ignore-scripts', '--no-save', '--no-audit', '--no-fund']
    await promisify(execFile)('npm', [
      'install',
      ...options,
      '--prefix',
      folder,
      `${name}@${version}`,
    ])
  }
  return program
}
