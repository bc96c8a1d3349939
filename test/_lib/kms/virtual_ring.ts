/**
 * One endpoint of a plugin without socket and config: monitors, health and keyring over given
 * providers, on a virtual clock.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import type { Clock } from '../../../src/base/clock.ts'
import type { EventSink } from '../../../src/base/events.ts'
import type { Provider } from '../../../src/base/provider.ts'
import { ANY } from '../../../src/kms/envelope.ts'
import { Health, type HealthOptions, type Protection } from '../../../src/kms/health.ts'
import { Keyring, type KeyringOptions } from '../../../src/kms/keyring.ts'
import { RingMember } from '../../../src/kms/ring_member.ts'
import { noStateStore, StateBook, type StateStore } from '../../../src/kms/state.ts'
import { Watch, type WatchOptions } from '../../../src/kms/watch.ts'

export const ANY_PROTECTION: Protection = {
  ...ANY,
  minimum: 1,
  holdMs: 60_000,
  returnMs: 600_000,
}

export interface VirtualRingOptions {
  readonly clock: Clock
  readonly events: EventSink
  readonly providers: readonly Provider[]
  readonly watch?: Partial<WatchOptions>
  /** By provider id. */
  readonly watchOf?: Readonly<Record<string, Partial<WatchOptions>>>
  readonly health?: Partial<HealthOptions>
  readonly keyring?: Partial<KeyringOptions>
  readonly store?: StateStore
  readonly random?: (bytes: number) => Uint8Array
}

export class VirtualRing {
  readonly health: Health
  readonly keyring: Keyring
  readonly watches: readonly Watch[]
  readonly book: StateBook

  constructor(options: VirtualRingOptions) {
    const { clock, events, random = randomBytes } = options
    this.book = new StateBook(options.store ?? noStateStore, events)
    this.watches = options.providers.map((provider) => {
      const ring = new RingMember(provider.id, provider, { clock, events })
      const watchOptions = {
        activationDelayMs: 0,
        intervalMs: 30_000,
        requestTimeoutMs: 2_500,
        ...options.watch,
        ...options.watchOf?.[provider.id],
      }
      return new Watch(ring, watchOptions, { clock, events, random, book: this.book })
    })
    this.health = new Health(
      {
        name: 'default',
        watches: this.watches,
        protection: ANY_PROTECTION,
        recipients: options.keyring?.recovery?.thumbprints ?? [],
        staleAfterMs: 90_000,
        outageHoldMs: 900_000,
        ...options.health,
      },
      { clock, events, book: this.book },
    )
    this.keyring = new Keyring({
      watches: this.watches,
      health: this.health,
      decryptPreference: 'fastest',
      recovery: undefined,
      foreign: [],
      clock,
      random,
      ...options.keyring,
    })
  }

  /** Settles after each provider was asked for the first time. */
  async start(): Promise<void> {
    await this.book.load()
    this.health.start()
    await this.look()
    await this.book.saved()
  }

  async look(): Promise<void> {
    await Promise.all(this.watches.map((watch) => watch.look()))
  }

  nudge(): void {
    for (const watch of this.watches) watch.nudge()
  }

  stop(): void {
    this.health.stop()
    for (const watch of this.watches) watch.stop()
  }
}
