/** A temporary folder that is removed at the end of the test. @module */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface TempFolder extends AsyncDisposable {
  readonly path: string
  /** A path inside the folder. */
  at(name: string): string
}

/** The name is short, since a socket's path has 107 bytes at most. */
export async function tempFolder(): Promise<TempFolder> {
  const path = await mkdtemp(join(tmpdir(), 'tr-'))
  return {
    path,
    at: (name) => join(path, name),
    // A process that the test has ended may still write its last file while the folder goes.
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 5 }),
  }
}
