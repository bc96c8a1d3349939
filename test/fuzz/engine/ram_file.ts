/** A file that holds one input after the other: in memory where the system has a folder for that. @module */

import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export class RamFile implements AsyncDisposable {
  readonly path: string
  readonly #folder: string
  readonly #descriptor: number

  constructor() {
    const place = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
    this.#folder = mkdtempSync(join(place, 'tr-'))
    this.path = join(this.#folder, 'input')
    this.#descriptor = openSync(this.path, 'w', 0o600)
  }

  hold(input: Uint8Array): void {
    ftruncateSync(this.#descriptor, 0)
    writeSync(this.#descriptor, input, 0, input.length, 0)
  }

  [Symbol.asyncDispose](): Promise<void> {
    closeSync(this.#descriptor)
    rmSync(this.#folder, { recursive: true })
    return Promise.resolve()
  }
}
