/**
 * Checks everything that can be known about the sources without running them. All checks run, even
 * after a failure, and the last line names those that failed.
 *
 * @module
 */

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const BIN = join(ROOT, 'node_modules', '.bin')

const CHECKS: Readonly<Record<string, readonly [command: string, ...args: string[]]>> = {
  types: [join(BIN, 'tsc'), '-p', '.'],
  style: [join(BIN, 'biome'), 'ci', '.'],
  layers: [process.execPath, join('build', 'check_layers.ts')],
  exports: [process.execPath, join('build', 'check_exports.ts')],
  generated: [process.execPath, join('build', 'generate.ts'), '--check'],
  'deno types': [join(BIN, 'deno'), 'check', 'src', 'test', 'build'],
  'deno lint': [join(BIN, 'deno'), 'lint'],
}

const failed: string[] = []
for (const [name, [command, ...args]] of Object.entries(CHECKS)) {
  const start = performance.now()
  const { output, ok } = await run(command, args)
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  process.stdout.write(`${ok ? 'ok  ' : 'FAIL'} ${name} (${seconds} s)\n`)
  if (ok) continue
  failed.push(name)
  process.stdout.write(`${output}\n`)
}
if (failed.length > 0) process.stdout.write(`Failed: ${failed.join(', ')}\n`)
process.exitCode = failed.length > 0 ? 1 : 0

function run(command: string, args: readonly string[]): Promise<{ output: string; ok: boolean }> {
  const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
    })
  }
  return new Promise((resolve) => {
    child.on('error', (error) => resolve({ output: error.message, ok: false }))
    child.on('close', (code) =>
      resolve({ output: stripVTControlCharacters(output), ok: code === 0 }),
    )
  })
}
