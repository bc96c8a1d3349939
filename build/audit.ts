/**
 * `npm run audit`: every run-time dependency with its version, licence and integrity, whether one
 * breaks a rule of docs/dependencies.md, and what the registry knows of vulnerabilities.
 *
 * @module
 */

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import * as v from 'valibot'
import { bundled, packagesIn } from './bundled.ts'
import { ROOT, run } from './cache.ts'
import {
  type Dependency,
  nameOf,
  problemsOf,
  readLock,
  runtimeDependencies,
  vulnerabilitiesIn,
} from './dependencies.ts'

const lock = await readLock()
const inside = new Set(packagesIn(await bundled(false)).keys())
for (const each of runtimeDependencies(lock)) say(rowOf(each))
const known = vulnerabilitiesIn(await npmAudit())
const told = known?.length ?? 'NOT CHECKED, since the registry does not answer npm audit'
say(`Known vulnerabilities: ${told}`)
const npmrc = await readFile(join(ROOT, '.npmrc'), 'utf8')
const problems = [...problemsOf(lock, inside, npmrc), ...(known ?? [])]
for (const problem of problems) say(`PROBLEM ${problem}`)
say(`${inside.size} packages in the bundle, ${problems.length} problems`)
process.exitCode = problems.length > 0 ? 1 : 0

function rowOf(dependency: Dependency): string {
  const { folder, version, license, integrity, hasInstallScript } = dependency
  return [
    nameOf(dependency).padEnd(28),
    version.padEnd(8),
    license.padEnd(29),
    `${integrity.slice(0, 19)}…`,
    inside.has(folder) ? 'bundled' : 'not bundled',
    ...(hasInstallScript ? ['has an install script'] : []),
  ].join(' ')
}

async function npmAudit(): Promise<string> {
  const answer = await run('npm', ['audit', '--omit=dev', '--json'], { cwd: ROOT }).catch(
    // npm ends with 1 where it found something, and has it in its output all the same.
    (error: unknown) => v.parse(v.object({ stdout: v.string() }), error),
  )
  return answer.stdout
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
