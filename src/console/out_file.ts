/**
 * Creates a new file, by default one that only its owner can read. The file is either complete or
 * not there.
 *
 * @module
 */

import { rmSync } from 'node:fs'
import { chmod, type FileHandle, open, rm } from 'node:fs/promises'
import { KmsError, systemCodeOf, systemReasonOf } from '../base/errors.ts'
import { NEW_ON_DISK } from '../base/file_on_disk.ts'

const MODE = 0o600
const BUFFERED = 1_048_576

export class OutFile implements AsyncDisposable {
  readonly path: string
  readonly #file: FileHandle
  readonly #remove: () => void
  readonly #stop: AbortSignal
  #pending = ''
  #kept = false

  private constructor(path: string, file: FileHandle, stop: AbortSignal) {
    this.path = path
    this.#file = file
    this.#stop = stop
    // The process ends right after the signal.
    this.#remove = () => rmSync(path, { force: true })
    stop.addEventListener('abort', this.#remove, { once: true })
  }

  /** @throws KmsError `request_invalid` where the path is taken or cannot be written */
  static async make(path: string, stop: AbortSignal, mode = MODE): Promise<OutFile> {
    try {
      const file = await open(path, NEW_ON_DISK, mode)
      await chmod(path, mode)
      return new OutFile(path, file, stop)
    } catch (cause) {
      throw failed(path, cause)
    }
  }

  async write(text: string): Promise<void> {
    this.#pending += text
    if (this.#pending.length >= BUFFERED) await this.#flush()
  }

  /** Keeps the file; without this call it is removed in the end. */
  async keep(): Promise<void> {
    await this.#flush()
    this.#kept = true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.removeEventListener('abort', this.#remove)
    await this.#file.close()
    if (!this.#kept) await rm(this.path, { force: true })
  }

  async #flush(): Promise<void> {
    try {
      await this.#file.writeFile(this.#pending)
      this.#pending = ''
    } catch (cause) {
      throw failed(this.path, cause)
    }
  }
}

function failed(path: string, cause: unknown): KmsError {
  const code = systemCodeOf(cause)
  const why =
    code === 'EEXIST'
      ? 'is there already, and nothing is overwritten'
      : `cannot be written: ${systemReasonOf(cause)}`
  return new KmsError(`File "${path}" ${why}`, { code: 'request_invalid', cause })
}
