/**
 * Files that are read at once: on a busy machine the way to the threads that read files and back
 * takes longer than what is done with the bytes, and while a file is closed nothing tells the driven
 * clock that somebody waits.
 *
 * @module
 */

import { lstatSync, promises, readFileSync, realpathSync, statSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

/** For the whole thread, which must do nothing else. */
export function readAtOnce(): void {
  const instant = {
    readFile: readFileSync,
    stat: statSync,
    lstat: lstatSync,
    realpath: realpathSync,
  }
  for (const [name, read] of Object.entries(instant)) {
    // What it throws becomes a rejection.
    const settled = (...args: unknown[]) =>
      new Promise((resolve) => resolve((read as (...all: unknown[]) => unknown)(...args)))
    Object.assign(promises, { [name]: settled })
  }
  syncBuiltinESMExports()
}
