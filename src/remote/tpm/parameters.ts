/** Parts of commands and answers of a TPM that more than one of them has, or that are long. @module */

import { Buffer } from 'node:buffer'
import type { Command } from './command.ts'
import { ALG } from './structures.ts'
import { type Reader, sized, u16, u32 } from './wire.ts'

/** No public area, name, digest or nonce here is longer. */
export const MAX_AREA = 512
/** Bytes of r, and of s. */
const HALF = 32

export function flushing(handle: number): Command {
  return { name: 'FlushContext', parameters: [u32(handle)] }
}

/** Template, no password, no other data, and no PCRs in the data of the creation. */
export function creation(template: Uint8Array): Uint8Array[] {
  return [sized(sized(), sized()), sized(template), sized(), u32(0)]
}

/** What a TPM says of a creation is for attestations. */
export function skipCreation(reader: Reader): void {
  reader.sized(MAX_AREA)
  reader.sized(MAX_AREA)
  reader.u16()
  reader.u32()
  reader.sized(MAX_AREA)
}

export function signatureOf(signature: Uint8Array): Buffer {
  const [r, s] = [signature.subarray(0, HALF), signature.subarray(HALF)]
  return Buffer.concat([u16(ALG.ecdsa), u16(ALG.sha256), sized(r), sized(s)])
}
