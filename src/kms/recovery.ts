/**
 * The interface to recovery recipients that the keyring uses (docs/recovery.md); `recovery/`
 * implements it.
 *
 * @module
 */

/** The annotation that holds the seed for the recipients; stored with every object. */
export const RECOVERY_ANNOTATION = 'recovery.trousseau.io'

export interface RecoverySealer {
  /** Thumbprints (RFC 7638, SHA-256, base64url) of the recipients, sorted; part of the key id. */
  readonly thumbprints: readonly string[]
  /**
   * The annotation's value.
   *
   * @param boundTo digest of the envelope's header
   */
  seal(seed: Uint8Array, boundTo: Uint8Array): Promise<Uint8Array>
}
