/**
 * Connects the process with the program: the only file that reads the arguments and the
 * environment, listens to signals and exits.
 *
 * @module
 */

import process from 'node:process'
import { setImmediate } from 'node:timers'
import { isatty } from 'node:tty'
import { inspect } from 'node:util'
import { environmentProblems } from './cli/environment.ts'
import { runProgram } from './cli/program.ts'
import type { Io } from './console/io.ts'
import { EXIT, lostOutput } from './console/output.ts'
import { askHidden, readKeys } from './console/terminal.ts'

const problems = environmentProblems(process.env)
if (problems.length > 0) {
  for (const problem of problems) process.stderr.write(`trousseau: ${problem}\n`)
  process.exit(EXIT.usage)
}

const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    // Asked twice: at once.
    if (stop.signal.aborted) end(EXIT.interrupted)
    stop.abort()
  })
}

// An error that nobody caught leaves the program in an unknown state: it exits, and the supervisor
// starts it again.
for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (error: unknown) => {
    process.stderr.write(`trousseau: Internal fault, please report it: ${inspect(error)}\n`)
    process.exit(EXIT.failure)
  })
}

let output: NodeJS.WriteStream | undefined

/** Not made before it is used: the plugin never prints, and the stream is a part of its start. */
function standardOutput(): NodeJS.WriteStream {
  output ??= process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // A reader such as head may close the pipe once it has seen enough; that is no error.
    if (error.code === 'EPIPE') process.exit(EXIT.ok)
    process.stderr.write(`trousseau: ${lostOutput(error)}\n`)
    process.exit(EXIT.failure)
  })
  return output
}

/**
 * Settles after the error event, if there is one, since that comes before the turn of the event
 * loop is over.
 */
async function outTaken(): Promise<void> {
  await new Promise<void>((resolve) => {
    if (output === undefined) resolve()
    else output.write('', () => setImmediate(resolve))
  })
}

const holders: (() => boolean)[] = []

/**
 * The runtime waits for its threads before it exits, and a file system may block one for ever, the
 * resolver for a long time.
 */
function end(code: number): void {
  if (!holders.some((stuck) => stuck())) process.exit(code)
  process.removeAllListeners('SIGTERM')
  process.kill(process.pid, 'SIGTERM')
}

const { env } = process
/** A dumb terminal shows what is written and can do nothing else. */
const isDumb = env['TERM'] === 'dumb'
const [printsToTerminal, complainsToTerminal] = [isatty(1), isatty(2)]
const redraws = printsToTerminal && !isDumb

const io: Io = {
  out: (text) => standardOutput().write(text),
  outTaken,
  err: (text) => process.stderr.write(text),
  color: redraws && (env['NO_COLOR'] ?? '') === '',
  // A terminal that does not know its size says 0, and one may get another size at any time.
  get columns() {
    if (!printsToTerminal) return undefined
    return Number(env['COLUMNS']) || process.stdout.columns || undefined
  },
  get rows() {
    return (printsToTerminal && process.stdout.rows) || undefined
  },
  redraws,
  showsProgress: complainsToTerminal && !isDumb,
  atTerminal: complainsToTerminal,
  stop: stop.signal,
  ask: (question) =>
    askHidden(question, { input: process.stdin, write: (text) => process.stderr.write(text) }),
  onKey: (press) => readKeys(process.stdin, press),
  onReload: (run) => process.on('SIGHUP', run),
  mayHang: (stuck) => holders.push(stuck),
  environment: env,
}
const code = await runProgram(process.argv.slice(2), io)
await outTaken()
end(code)
