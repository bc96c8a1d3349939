/**
 * What survives a restart where the operator allows it (`stateDir`, design §6):
 * nothing secret, only what lets a restart keep the last key id during an outage
 * and notice a rollback.
 *
 * @module
 */

import type { Member } from './key_id.ts'
import type { SeenVersion } from './rotation.ts'

export interface SavedState {
  /** The members that the last key id stood on; empty once the key was found unusable. */
  readonly members: readonly Member[]
  /** Milliseconds since the epoch by this node's clock. */
  readonly lastSuccess: number
  readonly seen: readonly {
    readonly providerId: string
    readonly versions: readonly SeenVersion[]
  }[]
}

export interface StateStore {
  /** Undefined where nothing was saved, or nothing that can be used. */
  load(): Promise<SavedState | undefined>
  save(state: SavedState): Promise<void>
}

/** For setups without `stateDir`. */
export const noStateStore: StateStore = {
  load: () => Promise.resolve(undefined),
  save: () => Promise.resolve(),
}
