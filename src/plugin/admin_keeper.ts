/**
 * Keeps trying to start the admin server. An address that is taken, that the node does not have, or
 * that cannot be resolved is no reason to leave API servers without their keys.
 *
 * @module
 */

import type { Clock } from '../base/clock.ts'
import { toKmsError } from '../base/errors.ts'
import type { EventSink } from '../base/events.ts'

/** How often starting it is tried again. */
const RETRY_MS = 5_000
/** The same after a hand-over, when the address becomes free as soon as the other process stops. */
const HAND_OVER_RETRY_MS = 1_000
/** After so many tries it is unlikely that another process is about to stop. */
const HAND_OVER_TRIES = 30

interface Closable {
  close(): Promise<void>
}

interface AdminKeeperOptions {
  readonly clock: Clock
  readonly events: EventSink
  /** Whether a running plugin is about to give up its address. */
  readonly takeOver: boolean
}

export class AdminKeeper {
  readonly #start: () => Promise<Closable>
  readonly #options: AdminKeeperOptions
  #server: Closable | undefined
  #closed = false
  #trying = false
  #cancel: () => void = () => undefined
  #tries = 0
  /**
   * The last reason that was reported. Each is reported once, and again when a hand-over can no
   * longer explain it.
   */
  #told = ''

  constructor(start: () => Promise<Closable>, options: AdminKeeperOptions) {
    this.#start = start
    this.#options = options
  }

  /**
   * Whether a try is under way. The resolver may take long, and occupies one of the runtime's
   * threads.
   */
  get trying(): boolean {
    return this.#trying
  }

  /** Settles after the first try, whatever its result. */
  async open(): Promise<void> {
    this.#trying = true
    try {
      const server = await this.#start()
      if (this.#closed) await server.close()
      else this.#server = server
    } catch (error) {
      if (!this.#closed) this.#later(error)
    } finally {
      this.#trying = false
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancel()
    await this.#server?.close()
  }

  #later(error: unknown): void {
    const { clock, events, takeOver } = this.#options
    const handsOver = takeOver && ++this.#tries < HAND_OVER_TRIES
    const level = handsOver ? 'info' : 'warn'
    const retryMs = handsOver ? HAND_OVER_RETRY_MS : RETRY_MS
    const message = `${toKmsError(error).message}. The plugin serves its sockets without it, and tries again every ${retryMs / 1_000} s`
    if (message !== this.#told) {
      events.emit({ type: 'notice', level, what: 'admin_waits', message, error })
      this.#told = message
    }
    this.#cancel = clock.after(retryMs, () => void this.open())
  }
}
