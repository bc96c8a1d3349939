/**
 * The bytes of one wrap: a format, the operator's part of the encryption context at that time, the
 * ciphertext of KMS, and a checksum. KMS gives the same error for a damaged ciphertext as for one
 * of another key or one that is not allowed; the checksum recognises damage.
 *
 * ```
 * 01 · number of pairs · per pair: length name, length value · ciphertext · 4 bytes of SHA-256 over all before
 * ```
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { KmsError } from '../../base/errors.ts'

export type Context = Readonly<Record<string, string>>

const FORMAT = 1
const SUM_BYTES = 4
/** The bytes of format, number of pairs and checksum. */
export const FRAME_BYTES = 2 + SUM_BYTES

export function packWrap(context: Context, ciphertext: Uint8Array): Uint8Array {
  const pairs = Object.entries(context)
  const words = pairs.flat().map((word) => Buffer.from(word))
  const parts = words.flatMap((word) => [Buffer.of(word.length), word])
  const body = Buffer.concat([Buffer.of(FORMAT, pairs.length), ...parts, ciphertext])
  return new Uint8Array(Buffer.concat([body, sumOf(body)]))
}

/** @throws KmsError `ciphertext_invalid` */
export function unpackWrap(wrap: Uint8Array): { context: Context; ciphertext: Uint8Array } {
  const body = Buffer.from(wrap).subarray(0, -SUM_BYTES)
  if (body[0] !== FORMAT || !sumOf(body).equals(wrap.subarray(-SUM_BYTES))) throw damaged()
  const words: string[] = []
  let at = 2
  for (let left = 2 * (body[1] ?? 0); left > 0; left -= 1) {
    const end = at + 1 + (body[at] ?? 0)
    words.push(body.toString('utf8', at + 1, end))
    at = end
  }
  if (at >= body.length) throw damaged()
  const pairs = words.flatMap((word, index) => (index % 2 === 0 ? [[word, words[index + 1]]] : []))
  return { context: Object.fromEntries(pairs), ciphertext: body.subarray(at) }
}

function sumOf(body: Uint8Array): Buffer {
  return createHash('sha256').update(body).digest().subarray(0, SUM_BYTES)
}

function damaged(): KmsError {
  return new KmsError('Wrap of AWS KMS is damaged', { code: 'ciphertext_invalid' })
}
