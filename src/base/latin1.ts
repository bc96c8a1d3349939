/** Bytes as text for comparing, a character a byte. @module */

import { Buffer } from 'node:buffer'

/** In the runtime's own code: characters made one by one cost more than opening an envelope. */
export function latin1({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('latin1')
}
