/**
 * The connections to each address, which are kept for a while and never for long: whoever
 * stands behind an address or a name may change, and a kept connection would stay with
 * the one that was there first. A name is looked up with each connection that is made.
 *
 * @module
 */

import type { Dispatcher } from 'undici'
import type { Clock } from '../../base/clock.ts'

export interface Connections {
  readonly dispatcher: Dispatcher
  /** Whether it has answered well and in time; a later failure may come from a kept connection. */
  proven: boolean
  /** From now on new ones are made; what is under way ends on these. */
  readonly renew: () => void
}

/** The service may have moved while its old address still answers. */
const MAX_AGE_MS = 300_000
/** What still is under way on connections that are replaced may take so long. */
const FAREWELL_MS = 10_000

interface Kept extends Connections {
  readonly since: number
}

export class ConnectionTable {
  readonly #clock: Clock
  readonly #open: (address: string) => Dispatcher
  readonly #kept = new Map<string, Kept>()
  /** What still has something under way. */
  readonly #retired = new Map<Dispatcher, () => void>()

  constructor(clock: Clock, open: (address: string) => Dispatcher) {
    this.#clock = clock
    this.#open = open
  }

  /** Those to use now. */
  to(address: string): Connections {
    const known = this.#kept.get(address)
    if (known !== undefined && this.#clock.monotonic() - known.since < MAX_AGE_MS) return known
    known?.renew()
    const made: Kept = {
      dispatcher: this.#open(address),
      proven: false,
      since: this.#clock.monotonic(),
      renew: () => {
        if (this.#kept.get(address) !== made) return
        this.#kept.delete(address)
        this.#retire(made)
      },
    }
    this.#kept.set(address, made)
    return made
  }

  /** Requests under way end first. */
  retire(): void {
    for (const { renew } of [...this.#kept.values()]) renew()
  }

  async destroy(): Promise<void> {
    this.retire()
    for (const cancel of this.#retired.values()) cancel()
    await Promise.all([...this.#retired.keys()].map((dispatcher) => dispatcher.destroy()))
  }

  /** Whatever hangs is cut. */
  #retire({ dispatcher }: Connections): void {
    const cancel = this.#clock.after(FAREWELL_MS, () => void dispatcher.destroy())
    const gone = () => {
      cancel()
      this.#retired.delete(dispatcher)
    }
    this.#retired.set(dispatcher, cancel)
    void dispatcher.close().then(gone, gone)
  }
}
