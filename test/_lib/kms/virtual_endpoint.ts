/**
 * One endpoint of a plugin without socket and config: monitors, health and keyring
 * over given providers, on a virtual clock.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import type { Clock } from '../../../src/base/clock.ts'
import type { EventSink } from '../../../src/base/events.ts'
import type { Provider } from '../../../src/base/provider.ts'
import { BatchedProvider } from '../../../src/kms/batched_provider.ts'
import { ANY } from '../../../src/kms/envelope.ts'
import { EndpointHealth, type EndpointHealthOptions } from '../../../src/kms/health.ts'
import type { Protection } from '../../../src/kms/health_view.ts'
import { Keyring, type KeyringOptions } from '../../../src/kms/keyring.ts'
import { type MonitorOptions, ProviderMonitor } from '../../../src/kms/provider_monitor.ts'
import { noStateStore, StateBook, type StateStore } from '../../../src/kms/state.ts'

export const ANY_PROTECTION: Protection = {
  ...ANY,
  minimum: 1,
  holdMs: 60_000,
  returnMs: 600_000,
}

export interface VirtualEndpointOptions {
  readonly clock: Clock
  readonly events: EventSink
  readonly providers: readonly Provider[]
  readonly monitor?: Partial<MonitorOptions>
  /** By provider id. */
  readonly monitorOf?: Readonly<Record<string, Partial<MonitorOptions>>>
  readonly health?: Partial<EndpointHealthOptions>
  readonly keyring?: Partial<KeyringOptions>
  readonly store?: StateStore
  readonly random?: (bytes: number) => Uint8Array
}

export class VirtualEndpoint {
  readonly health: EndpointHealth
  readonly keyring: Keyring
  readonly monitors: readonly ProviderMonitor[]
  readonly book: StateBook

  constructor(options: VirtualEndpointOptions) {
    const { clock, events, random = randomBytes } = options
    this.book = new StateBook(options.store ?? noStateStore, events)
    this.monitors = options.providers.map((provider) => {
      const batched = new BatchedProvider(provider.id, provider, { clock, events })
      const monitorOptions = {
        activationDelayMs: 0,
        intervalMs: 30_000,
        requestTimeoutMs: 2_500,
        ...options.monitor,
        ...options.monitorOf?.[provider.id],
      }
      return new ProviderMonitor(batched, monitorOptions, {
        clock,
        events,
        random,
        book: this.book,
      })
    })
    this.health = new EndpointHealth(
      {
        name: 'default',
        monitors: this.monitors,
        protection: ANY_PROTECTION,
        recipients: options.keyring?.recovery?.thumbprints ?? [],
        staleAfterMs: 90_000,
        outageHoldMs: 900_000,
        ...options.health,
      },
      { clock, events, book: this.book },
    )
    this.keyring = new Keyring({
      monitors: this.monitors,
      health: this.health,
      decryptPreference: 'fastest',
      recovery: undefined,
      foreign: [],
      clock,
      events,
      random,
      ...options.keyring,
    })
  }

  /** Settles after the first probe of each provider. */
  async start(): Promise<void> {
    await this.book.load()
    this.health.start()
    await this.probe()
    await this.book.saved()
  }

  async probe(): Promise<void> {
    await Promise.all(this.monitors.map((monitor) => monitor.probe()))
  }

  nudge(): void {
    for (const monitor of this.monitors) monitor.nudge()
  }

  stop(): void {
    this.health.stop()
    for (const monitor of this.monitors) monitor.stop()
  }
}
