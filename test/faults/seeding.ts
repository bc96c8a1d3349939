/** Puts faults into a copy of the sources, one at a time, and sees which of them a test finds. @module */

import { execFile } from 'node:child_process'
import { cp, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { tempFolder } from '../_lib/temp_folder.ts'
import type { Fault } from './fault.ts'

const RUN_LIMIT_MS = 300_000
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** What a run needs of the project. */
const PARTS = ['src', 'test', 'docs', 'build', 'package.json', 'LICENSE']

interface Seeded {
  readonly fault: Fault
  /** Why it says nothing: its test fails without it too, or the sources have no such text. */
  readonly void: string | undefined
  readonly found: boolean
}

const run = promisify(execFile)

/** Tells of each as soon as it is known. */
export async function* seeded(faults: readonly Fault[]): AsyncGenerator<Seeded> {
  await using folder = await tempFolder()
  for (const part of PARTS) await cp(join(ROOT, part), folder.at(part), { recursive: true })
  await symlink(join(ROOT, 'node_modules'), folder.at('node_modules'))
  const good = new Map<string, boolean>()
  for (const fault of faults) {
    const isGood = good.get(fault.by) ?? (await passes(folder.path, fault.by))
    good.set(fault.by, isGood)
    yield isGood
      ? await withFault(folder.path, fault)
      : { fault, void: `${fault.by} fails without it too`, found: false }
  }
}

async function withFault(root: string, fault: Fault): Promise<Seeded> {
  const { file, from, to, by } = fault
  const path = join(root, 'src', file)
  const text = await readFile(path, 'utf8')
  const times = text.split(from).length - 1
  if (times !== 1) return { fault, void: `${file} has its text ${times} times`, found: false }
  await writeFile(
    path,
    text.replace(from, () => to),
  )
  const found = !(await passes(root, by))
  await writeFile(path, text)
  return { fault, void: undefined, found }
}

async function passes(root: string, by: string): Promise<boolean> {
  try {
    // These start the bundle.
    if (by.startsWith('e2e/')) await run(process.execPath, ['build/bundle.ts'], { cwd: root })
    await run(process.execPath, [`test/${by}.test.ts`], { cwd: root, timeout: RUN_LIMIT_MS })
    return true
  } catch {
    return false
  }
}
