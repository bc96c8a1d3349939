/**
 * Access to the file system of `stateDir` that never waits for long. It may be one that never
 * answers, such as a network share whose server is gone, and must hold up neither the start nor the
 * end of the plugin.
 *
 * @module
 */

import { KmsError } from '../base/errors.ts'

const LIMIT_MS = 2_000

/**
 * Makes one request at a time, and waits for no answer longer than the limit. While an answer is
 * missing it makes no further request, since each would occupy one of the few threads of the
 * runtime.
 */
export class PatientDisk {
  stuck = false
  readonly #folder: string
  readonly #limitMs: number
  #busy = false

  constructor(folder: string, limitMs = LIMIT_MS) {
    this.#folder = folder
    this.#limitMs = limitMs
  }

  async ask<T>(work: () => Promise<T>): Promise<T> {
    if (this.#busy) throw this.#silent()
    this.#busy = true
    const answer = work().finally(() => {
      this.#busy = false
      this.stuck = false
    })
    // By then, nobody may be waiting for it.
    answer.catch(() => undefined)
    const { promise, reject } = Promise.withResolvers<never>()
    const timer = setTimeout(() => {
      this.stuck = true
      reject(this.#silent())
    }, this.#limitMs)
    try {
      return await Promise.race([answer, promise])
    } finally {
      clearTimeout(timer)
    }
  }

  #silent(): KmsError {
    const why = 'the file system has not answered'
    return new KmsError(`stateDir ${this.#folder} cannot be used: ${why}`, { code: 'timeout' })
  }
}
