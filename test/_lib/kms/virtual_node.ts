/**
 * A control-plane node without processes: plugin and API server on a clock of their own, which may
 * be wrong.
 *
 * @module
 */

import type { Clock } from '../../../src/base/clock.ts'
import type { Provider } from '../../../src/base/provider.ts'
import type { KmsService } from '../../../src/base/service.ts'
import type { SavedState, StateStore } from '../../../src/kms/state.ts'
import { RecordedEvents } from '../events.ts'
import type { FakeClock } from '../fake_clock.ts'
import { ApiServer, type Etcd } from './api_server_model.ts'
import { VirtualEndpoint, type VirtualEndpointOptions } from './virtual_endpoint.ts'

interface VirtualNodeOptions extends Partial<VirtualEndpointOptions> {
  /** How far the node's calendar is ahead of the world's. */
  readonly skewMs?: number
  /** What stands between the API server and the keyring; nothing where absent. */
  readonly between?: (keyring: KmsService) => KmsService
}

export class VirtualNode {
  readonly clock: NodeClock
  server: ApiServer
  endpoint: VirtualEndpoint | undefined
  options: VirtualNodeOptions
  readonly #providers: readonly Provider[]
  readonly #etcd: Etcd

  constructor(
    world: FakeClock,
    etcd: Etcd,
    providers: readonly Provider[],
    options: VirtualNodeOptions = {},
  ) {
    this.clock = new NodeClock(world, options.skewMs ?? 0)
    this.options = options
    this.#providers = providers
    this.#etcd = etcd
    this.server = this.newServer()
  }

  /** As the API server reaches it; undefined while nobody listens. */
  get service(): KmsService | undefined {
    const keyring = this.endpoint?.keyring
    return keyring && (this.options.between?.(keyring) ?? keyring)
  }

  /** Its cache is empty and it has no seed, as after a restart. */
  newServer(): ApiServer {
    return new ApiServer({ clock: this.clock, plugin: () => this.service, etcd: this.#etcd })
  }

  /** Settles after the first probe of each provider, which takes virtual time where one hangs. */
  startPlugin(): Promise<void> {
    this.endpoint = new VirtualEndpoint({
      clock: this.clock,
      events: new RecordedEvents(),
      providers: this.#providers,
      ...this.options,
    })
    return this.endpoint.start()
  }

  stopPlugin(): void {
    this.endpoint?.stop()
    this.endpoint = undefined
  }
}

/** The world's time, and a calendar that may be wrong. */
class NodeClock implements Clock {
  readonly #world: FakeClock
  skewMs: number

  constructor(world: FakeClock, skewMs: number) {
    this.#world = world
    this.skewMs = skewMs
  }

  now(): number {
    return this.#world.now() + this.skewMs
  }

  monotonic(): number {
    return this.#world.monotonic()
  }

  after(ms: number, run: () => void): () => void {
    return this.#world.after(ms, run)
  }

  soon(run: () => void): void {
    this.#world.soon(run)
  }
}

export class MemoryStore implements StateStore {
  saved: SavedState | undefined
  load = () => Promise.resolve(this.saved)
  save = (state: SavedState) => {
    this.saved = structuredClone(state)
    return Promise.resolve()
  }
}
