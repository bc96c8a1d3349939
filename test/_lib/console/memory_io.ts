/** The `Io` of a command in a test; it remembers what was printed. @module */

import { KmsError } from '../../../src/base/errors.ts'
import type { Io } from '../../../src/console/io.ts'

interface MemoryIo extends Io {
  readonly printed: () => string
  readonly complained: () => string
  /** Stops the command, as SIGTERM does. */
  readonly halt: () => void
  /** Presses a key of the terminal. */
  readonly press: (key: string) => void
  /** Has the config read again, as SIGHUP does. */
  readonly hangUp: () => void
}

/** @param answers the lines that are typed when the command asks, in this order */
export function memoryIo({
  color = false,
  showsProgress = false,
  columns = undefined as number | undefined,
  rows = undefined as number | undefined,
  redraws = false,
  atTerminal = false,
  answers = [] as string[],
} = {}): MemoryIo {
  const stop = new AbortController()
  let out = ''
  let err = ''
  const reloads: (() => void)[] = []
  const pressed = new Set<(key: string) => void>()
  return {
    out(text) {
      out += text
    },
    outTaken: () => Promise.resolve(),
    err(text) {
      err += text
    },
    color,
    showsProgress,
    columns,
    rows,
    redraws,
    atTerminal,
    stop: stop.signal,
    environment: {},
    printed: () => out,
    complained: () => err,
    halt: () => stop.abort(),
    ask(question) {
      err += question
      const answer = answers.shift()
      if (answer === undefined) throw new KmsError('No terminal', { code: 'request_invalid' })
      return Promise.resolve(answer)
    },
    onKey(press) {
      pressed.add(press)
      return () => pressed.delete(press)
    },
    press(key) {
      for (const press of pressed) press(key)
    },
    mayHang: () => undefined,
    onReload: (run) => reloads.push(run),
    hangUp() {
      for (const run of reloads) run()
    },
  }
}
