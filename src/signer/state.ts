/**
 * What outlives a restart: the public keys that tokens in use are checked with, so that an API
 * server can start while the key service is away. Nothing of it is secret, but all of it is trusted.
 *
 * @module
 */

import type { KnownVersion } from './key_set.ts'

type SavedVersion = Pick<
  KnownVersion,
  'sourceId' | 'label' | 'createdAt' | 'longestLifeMs' | 'supersededAt' | 'maySign'
> & {
  /** SubjectPublicKeyInfo, in DER. */
  readonly spki: Uint8Array
}

export interface SignerState {
  /** When the source was asked last, in milliseconds since the epoch by this node's clock. */
  readonly readAt: number
  /** Oldest first. */
  readonly versions: readonly SavedVersion[]
}

export interface SignerStore {
  /**
   * Undefined where nothing was saved.
   *
   * @throws KmsError where what was saved cannot be used
   */
  load(): Promise<SignerState | undefined>
  save(state: SignerState): Promise<void>
}
