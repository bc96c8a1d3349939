/** `test/run.ts` in a process of its own, with other programs in place of those that tests use. @module */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

const RUNNER = fileURLToPath(new URL('../run.ts', import.meta.url))

export interface Counts {
  readonly passed: number
  readonly failed: number
}

/** Shows what it prints. A run without a count is one failure. */
export async function runTests(
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<Counts> {
  const child = spawn(process.execPath, [RUNNER, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...environment },
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk
    process.stdout.write(chunk)
  })
  await once(child, 'close')
  const [, passed, failed] = /^(\d+) passed, (\d+) failed\n$/m.exec(output) ?? []
  if (passed === undefined) return { passed: 0, failed: 1 }
  return { passed: Number(passed), failed: Number(failed) }
}

/** What `work` gives, and the whole seconds that it took. */
export async function timed<T>(work: () => Promise<T>): Promise<[T, number]> {
  const start = performance.now()
  const result = await work()
  return [result, Math.round((performance.now() - start) / 1_000)]
}
