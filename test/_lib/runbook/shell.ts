/** The operator's shell: one bash in which the blocks of a page run one after another. @module */

import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import process from 'node:process'
import { until } from '../wait.ts'

const BLOCK_MS = 240_000
const BASH = ['bash', '--norc', '-euo', 'pipefail'] as const
/** What a page has started with `&` ends with the shell, also where a command fails. */
const END_JOBS = "trap 'jobs -p | xargs -r kill 2>/dev/null' EXIT"

export class OperatorShell implements AsyncDisposable {
  readonly #child: ChildProcess
  #output = ''

  /** @param within a command line that ends in the shell, such as one that enters a machine */
  constructor(
    environment: Readonly<Record<string, string>>,
    folder: string,
    within: readonly string[] = [],
  ) {
    // A bash that reads a socket takes it for a login.
    const [program, ...args] = [...within, ...BASH] as const
    this.#child = spawn(program, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      cwd: folder,
      env: { PATH: process.env['PATH'], HOME: folder, LANG: 'C.UTF-8', ...environment },
    })
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (chunk: string) => {
        this.#output += chunk
      })
    }
    this.#child.stdin?.write(`exec 2>&1\n${END_JOBS}\n`)
  }

  /** Resolves to what the block printed; rejects where one of its commands fails. */
  async run(block: string): Promise<string> {
    const mark = `done-${randomUUID()}`
    this.#output = ''
    // Standard input is the shell's own script: no command of the block may read on in it.
    this.#child.stdin?.write(
      `eval "$(cat <<'${mark}'\n${block}\n${mark}\n)" </dev/null\necho ${mark}\n`,
    )
    await until(
      'the block is done',
      () => {
        if (this.#output.includes(mark)) return true
        if (this.#child.exitCode === null && this.#child.signalCode === null) return false
        throw new Error(`A command failed; printed:\n${this.#output.slice(-6_000)}`)
      },
      { limitMs: BLOCK_MS, everyMs: 50 },
    ).catch((cause: Error) => {
      throw new Error(`${cause.message}\n${this.#output.slice(-2_000)}`, { cause })
    })
    return this.#output.replace(`${mark}\n`, '')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin?.destroy()
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    // It heeds this in the middle of a block, too.
    this.#child.kill('SIGTERM')
    await ended
  }
}
