/** A server that a test starts, stops, kills and starts again on the same data. @module */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { until } from '../wait.ts'

const KEPT_CHARACTERS = 2_000_000
const START_MS = 120_000

interface ServerCommand {
  readonly name: string
  readonly program: string
  readonly args: () => readonly string[]
  /** Whether it answers as it should once started; asked until it does. May reject with why not. */
  readonly answers: () => Promise<boolean>
}

export class ServerProcess implements AsyncDisposable {
  readonly #command: ServerCommand
  #child: ChildProcess | undefined
  #output = ''

  constructor(command: ServerCommand) {
    this.#command = command
  }

  get pid(): number {
    const pid = this.#child?.pid
    if (pid === undefined) throw new Error(`${this.#command.name} is not running`)
    return pid
  }

  /** What it printed since it was first started. */
  output(): string {
    return this.#output
  }

  /** Starts the process, and does not wait until it answers. */
  launch(): void {
    const { program, args } = this.#command
    const child = spawn(program, [...args()], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        this.#output = (this.#output + chunk).slice(-KEPT_CHARACTERS)
      })
    }
  }

  /** Starts the process where it does not run, and resolves as soon as it answers. */
  async start(): Promise<void> {
    if (this.#child === undefined) this.launch()
    const { name, answers } = this.#command
    let last: unknown
    const answered = async () => {
      if (this.exited) throw new Error(`${name} exited: ${this.#output.slice(-4_000)}`)
      return await answers().catch((error: unknown) => {
        last = error
        return false
      })
    }
    await until(`${name} answers`, answered, { limitMs: START_MS, everyMs: 100 }).catch(
      (cause: unknown) => {
        const printed = this.#output.slice(-4_000)
        throw new Error(`${name} does not answer: ${last}; it printed ${printed}`, { cause })
      },
    )
  }

  get exited(): boolean {
    const child = this.#child
    return child !== undefined && (child.exitCode !== null || child.signalCode !== null)
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child
    const exited = this.exited
    this.#child = undefined
    if (child === undefined || exited) return
    const closed = once(child, 'close')
    // A frozen process takes no other signal.
    child.kill('SIGCONT')
    child.kill(signal)
    await closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop('SIGKILL')
  }
}
