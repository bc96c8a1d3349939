/**
 * Keeps trying to start the admin server. An address that it cannot have, taken,
 * foreign or unresolvable, is no reason to leave API servers without their keys.
 *
 * @module
 */

import type { Clock } from '../kms/clock.ts'
import { toKmsError } from '../kms/errors.ts'
import type { EventSink } from '../kms/events.ts'

/** How often an address that cannot be had is tried again. */
const RETRY_MS = 5_000
/** The same after a hand-over: it is free as soon as the other process stops. */
const HAND_OVER_RETRY_MS = 1_000

interface Closable {
  close(): Promise<void>
}

export interface AdminKeeperOptions {
  readonly clock: Clock
  readonly events: EventSink
  /** Whether a plugin that runs is about to give its address up. */
  readonly takeOver: boolean
}

export class AdminKeeper {
  readonly #start: () => Promise<Closable>
  readonly #options: AdminKeeperOptions
  #server: Closable | undefined
  #closed = false
  #cancel: () => void = () => undefined
  /** What was told already. */
  #why = ''

  constructor(start: () => Promise<Closable>, options: AdminKeeperOptions) {
    this.#start = start
    this.#options = options
  }

  /** Settles after the first try, whatever came of it. */
  async open(): Promise<void> {
    try {
      const server = await this.#start()
      if (this.#closed) await server.close()
      else this.#server = server
    } catch (error) {
      if (!this.#closed) this.#later(error)
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancel()
    await this.#server?.close()
  }

  #later(error: unknown): void {
    const { clock, events, takeOver } = this.#options
    const retryMs = takeOver ? HAND_OVER_RETRY_MS : RETRY_MS
    const why = toKmsError(error).message
    if (why !== this.#why) {
      const message = `${why}. The plugin serves its sockets without an admin server, and tries again every ${retryMs / 1_000} s`
      const level = takeOver ? 'info' : 'warn'
      events.emit({ type: 'notice', level, what: 'admin_waits', message, error })
      this.#why = why
    }
    this.#cancel = clock.after(retryMs, () => void this.open())
  }
}
