/** How keys are named to people. @module */

import { hash, type KeyObject } from 'node:crypto'

/** The same text as `openssl pkey -pubin -outform DER | sha256sum` prints, behind `sha256:`. */
export function keyFingerprint(publicKey: KeyObject): string {
  return `sha256:${hash('sha256', publicKey.export({ type: 'spki', format: 'der' }), 'hex')}`
}
