/**
 * `trousseau status --watch` shows a page that stays up to date, or prints one line for each change
 * where there is no terminal.
 *
 * @module
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { stopped } from '../../base/call.ts'
import { endpointsOf } from '../../config/endpoints.ts'
import { loadConfig } from '../../config/load.ts'
import type { Io } from '../../console/io.ts'
import { EXIT, printable, reportError } from '../../console/output.ts'
import { reportOf, status, statusOfConfig } from './run.ts'

/** Either a socket or a config. */
interface WatchOptions {
  readonly socketPath?: string | undefined
  readonly configPath?: string | undefined
  readonly timeoutMs: number
  readonly everyMs: number
}

const CLEARED = '\u001b[H\u001b[2J'

/**
 * Returns when it is stopped, with the exit code of the last answer.
 *
 * @throws ConfigError
 */
export async function watchStatus(options: WatchOptions, io: Io): Promise<number> {
  const { socketPath = '', configPath, everyMs } = options
  const sockets =
    configPath === undefined
      ? [socketPath]
      : endpointsOf(await loadConfig(configPath)).map(({ socket }) => socket.path)
  const said = new Map<string, string>()
  const look = () => (io.redraws ? page(options, io) : lines(sockets, said, options, io))
  const halted = stopped(io.stop)
  let code: number = EXIT.ok
  while (!io.stop.aborted) {
    code = (await Promise.race([look(), halted])) ?? code
    await sleep(everyMs, undefined, { signal: io.stop }).catch(() => undefined)
  }
  return code
}

async function page(options: WatchOptions, io: Io): Promise<number> {
  const { socketPath = '', configPath, timeoutMs, everyMs } = options
  let text = ''
  const add = (more: string) => {
    text += more
  }
  const held: Io = { ...io, out: add, err: add, atTerminal: false }
  const asked = { timeoutMs, json: false }
  const work =
    configPath === undefined
      ? status({ ...asked, socketPath }, held)
      : statusOfConfig({ ...asked, configPath }, held)
  const code = await work.catch((error: unknown) => reportError(error, held))
  const clock = new Date().toISOString().slice(11, 19)
  io.out(`${CLEARED}Asked at ${clock} UTC, and each ${everyMs / 1_000} s until Ctrl-C.\n\n${text}`)
  return code
}

/** @param said what each socket said so far */
async function lines(
  sockets: readonly string[],
  said: Map<string, string>,
  { timeoutMs }: WatchOptions,
  io: Io,
): Promise<number> {
  let worst: number = EXIT.ok
  for (const socketPath of sockets) {
    const { text, code } = await reportOf({ socketPath, timeoutMs }).then(
      ({ problem, v2 }) => ({
        text: [problem ?? 'ok', ...('error' in v2 ? [] : [`key id ${printable(v2.keyId)}`])].join(
          ', ',
        ),
        code: problem === undefined ? EXIT.ok : EXIT.unhealthy,
      }),
      (error: unknown) => ({
        text: printable(error instanceof Error ? error.message : String(error)),
        code: EXIT.failure,
      }),
    )
    if (worst !== EXIT.failure && code !== EXIT.ok) worst = code
    if (said.get(socketPath) === text || io.stop.aborted) continue
    said.set(socketPath, text)
    io.out(`${new Date().toISOString()}  ${socketPath}  ${text}\n`)
  }
  return worst
}
