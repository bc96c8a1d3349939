/**
 * The built bundle at a terminal, as a person uses it: all three streams are the terminal.
 *
 * @module
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { BUNDLE, NODE } from '../_lib/plugin/process.ts'

/** Runs the rest of its arguments at a new terminal, and passes signals on. */
const PTY = `
import fcntl, os, pty, signal, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 40, int(sys.argv[1]), 0, 0))
    os.execv(sys.argv[2], sys.argv[2:])
for name in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(name, lambda number, frame: os.kill(pid, number))
try:
    while chunk := os.read(terminal, 65536):
        os.write(1, chunk)
except OSError:
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`

interface AtTerminal extends AsyncDisposable {
  /** What stands there so far, with the codes that move and colour it. */
  shown(): string
  signal(name: 'SIGTERM' | 'SIGHUP'): void
  /** Settles with the exit code. */
  readonly ended: Promise<number | null>
}

export function atTerminal(
  args: readonly string[],
  { term = 'xterm', columns = 80 } = {},
): AtTerminal {
  const child = spawn('python3', ['-c', PTY, String(columns), NODE, BUNDLE, ...args], {
    env: { PATH: process.env['PATH'], TERM: term },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let shown = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    shown += text.replaceAll('\r\n', '\n')
  })
  const ended = once(child, 'close').then(() => child.exitCode)
  const signal = (name: 'SIGTERM' | 'SIGHUP') => process.kill(child.pid ?? 0, name)
  return {
    shown: () => shown,
    signal,
    ended,
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null) signal('SIGTERM')
      await ended
    },
  }
}
