/** Key ids as kube-apiserver's own metrics show them. @module */

import { hash } from 'node:crypto'

let last = { keyId: '', hash: '' }

/** `sha256:` and 64 hex digits. */
export function keyIdHash(keyId: string): string {
  // Nearly every request has the same key id.
  if (keyId !== last.keyId) last = { keyId, hash: `sha256:${hash('sha256', keyId, 'hex')}` }
  return last.hash
}
