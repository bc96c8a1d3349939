/**
 * The state that survives every reload of the config, and with `stateDir` a restart: nothing
 * secret, only what lets a restart keep the last key id during an outage and notice a rollback.
 *
 * @module
 */

import { toKmsError } from '../base/errors.ts'
import type { EventSink } from '../base/events.ts'
import type { Member } from './key_id.ts'
import type { SeenVersion } from './rotation.ts'

export interface SavedEndpoint {
  readonly name: string
  /** Undefined once the key was found unusable. */
  readonly keyId?: string | undefined
  /** The members from which the key id is computed. */
  readonly members: readonly Member[]
  /** Ids of providers that were left out since they were not well. */
  readonly out: readonly string[]
  /** Milliseconds since the epoch by this node's clock. */
  readonly lastSuccess: number
}

export interface SavedState {
  readonly endpoints: readonly SavedEndpoint[]
  readonly seen: readonly {
    readonly providerId: string
    readonly versions: readonly SeenVersion[]
  }[]
}

export interface StateStore {
  /**
   * Undefined where nothing was saved, or nothing that can be used.
   *
   * @throws KmsError where nothing can be saved either
   */
  load(): Promise<SavedState | undefined>
  save(state: SavedState): Promise<void>
}

/** For setups without `stateDir`. */
export const noStateStore: StateStore = {
  load: () => Promise.resolve(undefined),
  save: () => Promise.resolve(),
}

/** The state as it is now; what changes is saved in the background, one save at a time. */
export class StateBook {
  readonly #store: StateStore
  readonly #events: EventSink
  readonly #endpoints = new Map<string, SavedEndpoint>()
  readonly #seen = new Map<string, readonly SeenVersion[]>()
  #saving: Promise<void> | undefined
  #changed = false
  #saveFailed = false

  constructor(store: StateStore, events: EventSink) {
    this.#store = store
    this.#events = events
  }

  async load(): Promise<void> {
    const saved = await this.#loaded()
    for (const endpoint of saved?.endpoints ?? []) this.#endpoints.set(endpoint.name, endpoint)
    for (const { providerId, versions } of saved?.seen ?? []) this.#seen.set(providerId, versions)
  }

  /** Oldest first, as the provider told them last. */
  seenOf(providerId: string): readonly SeenVersion[] {
    return this.#seen.get(providerId) ?? []
  }

  putSeen(providerId: string, versions: readonly SeenVersion[]): void {
    this.#seen.set(providerId, versions)
    this.#save()
  }

  endpoint(name: string): SavedEndpoint | undefined {
    return this.#endpoints.get(name)
  }

  putEndpoint(endpoint: SavedEndpoint): void {
    this.#endpoints.set(endpoint.name, endpoint)
    this.#save()
  }

  /** Settles once everything told so far is saved, or could not be. */
  async saved(): Promise<void> {
    while (this.#saving !== undefined) await this.#saving
  }

  #save(): void {
    this.#changed = true
    this.#saving ??= this.#saveAll().finally(() => {
      this.#saving = undefined
    })
  }

  async #saveAll(): Promise<void> {
    while (this.#changed) {
      // Changes of one moment are saved together.
      await Promise.resolve()
      this.#changed = false
      await this.#saveOnce({
        endpoints: [...this.#endpoints.values()],
        seen: [...this.#seen].map(([providerId, versions]) => ({ providerId, versions })),
      })
    }
  }

  async #saveOnce(state: SavedState): Promise<void> {
    try {
      await this.#store.save(state)
      this.#saveFailed = false
    } catch (error) {
      this.#tell(error)
    }
  }

  async #loaded(): Promise<SavedState | undefined> {
    try {
      return await this.#store.load()
    } catch (error) {
      this.#tell(error)
      return undefined
    }
  }

  #tell(error: unknown): void {
    if (this.#saveFailed) return
    this.#saveFailed = true
    const message = `Cannot save the state, and a restart during an outage will not keep the key id: ${toKmsError(error).message}`
    const what = 'state_not_saved'
    this.#events.emit({ type: 'notice', level: 'warn', what, message, error })
  }
}
