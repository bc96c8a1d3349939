/** A command's terminal that remembers what was printed. @module */

import type { Io } from '../../src/cli/io.ts'

export interface MemoryIo extends Io {
  readonly printed: () => string
  readonly complained: () => string
  /** As SIGTERM does. */
  readonly halt: () => void
  /** As SIGHUP does. */
  readonly hangUp: () => void
}

export function memoryIo({ color = false } = {}): MemoryIo {
  const stop = new AbortController()
  let out = ''
  let err = ''
  const reloads: (() => void)[] = []
  return {
    out(text) {
      out += text
    },
    err(text) {
      err += text
    },
    color,
    stop: stop.signal,
    printed: () => out,
    complained: () => err,
    halt: () => stop.abort(),
    onReload: (run) => reloads.push(run),
    hangUp() {
      for (const run of reloads) run()
    },
  }
}
