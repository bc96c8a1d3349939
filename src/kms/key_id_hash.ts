/** Key ids as kube-apiserver's own metrics show them. @module */

import { createHash } from 'node:crypto'

/** `sha256:` and 64 hex digits. */
export function keyIdHash(keyId: string): string {
  return `sha256:${createHash('sha256').update(keyId).digest('hex')}`
}
