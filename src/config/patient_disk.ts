/**
 * The file system of stateDir, which may be one that never answers: a network share
 * whose server is gone holds up neither the start nor the end of the plugin.
 *
 * @module
 */

import { KmsError } from '../base/errors.ts'

const LIMIT_MS = 2_000

/**
 * Asks one thing at a time, and waits for no answer longer than the limit. While one
 * is missing nothing more is asked: each would hold one of the runtime's few threads.
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
    // Nobody may be waiting by then.
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
