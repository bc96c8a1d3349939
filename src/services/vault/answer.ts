/**
 * Checks whether an answer of the transit engine can belong to the request. A wrap of another item,
 * or one under a nonce that was used before, would otherwise be noticed only when it is opened,
 * which is too late. So nothing of an answer with one such result is used.
 *
 * @module
 */

import { randomUUID } from 'node:crypto'
import { wrong } from '../wrap_check.ts'
import type { BatchResult } from './transit.ts'

/** An item of a batch; the service should repeat its reference beside the result. */
interface ReferencedItem {
  readonly reference: string
  /** What is to be encrypted, in base64. */
  readonly plaintext?: string
  /** What is to be decrypted. */
  readonly ciphertext?: string
}

/**
 * How much longer than its plaintext a wrap can be: a nonce of 12 bytes, or 24 with xchacha20, and
 * a tag of 16.
 */
const OVERHEADS: ReadonlySet<number> = new Set([28, 40])
/** The length of the shortest nonce in base64. */
const NONCE_CHARACTERS = 16
/** How much of a random identifier is used; it keeps requests from having a reference in common. */
const MARK_CHARACTERS = 8

/** The items, each with a reference that no other item of this or of another request has. */
export function referenced(items: readonly object[]): readonly ReferencedItem[] {
  const mark = randomUUID().slice(0, MARK_CHARACTERS)
  return items.map((item, index) => ({ ...item, reference: `${mark}${index}` }))
}

/**
 * The results of a batch, in the order of its items.
 *
 * @throws KmsError `protocol` where one of them cannot be that of its item
 */
export function resultsOf(
  asked: readonly ReferencedItem[],
  results: readonly BatchResult[],
): readonly BatchResult[] {
  if (results.length !== asked.length) {
    throw wrong(`${results.length} results for ${asked.length} items`)
  }
  checkReferences(asked, results)
  checkLengths(asked, results)
  checkNonces(results)
  return results
}

/** Older servers repeat no reference; a server that repeats one repeats all. */
function checkReferences(asked: readonly ReferencedItem[], results: readonly BatchResult[]): void {
  if (results.every(({ reference = '' }) => reference === '')) return
  if (asked.every(({ reference }, index) => results[index]?.reference === reference)) return
  throw wrong('the results of other items, or in another order')
}

/** A key has one type, and therefore one overhead. */
function checkLengths(asked: readonly ReferencedItem[], results: readonly BatchResult[]): void {
  const overheads = results.flatMap(({ ciphertext, plaintext, error = '' }, index) => {
    const plain = asked[index]?.plaintext ?? plaintext
    const sealed = asked[index]?.ciphertext ?? ciphertext
    if (error !== '' || plain === undefined || sealed === undefined) return []
    return [bytesIn(afterPrefix(sealed)) - bytesIn(plain)]
  })
  const [first] = overheads
  const fits = overheads.every((bytes) => bytes === first && OVERHEADS.has(bytes))
  if (!fits) throw wrong('a result of another length than its item has')
}

function checkNonces(results: readonly BatchResult[]): void {
  const sealed = results.flatMap(({ ciphertext, error = '' }) =>
    error === '' && ciphertext !== undefined ? afterPrefix(ciphertext) : [],
  )
  const nonces = new Set(sealed.map((text) => text.slice(0, NONCE_CHARACTERS)))
  if (nonces.size < sealed.length) throw wrong('two ciphertexts under the same nonce')
}

/** `vault:v1:` precedes the base64, which has no colon. */
function afterPrefix(ciphertext: string): string {
  return ciphertext.slice(ciphertext.lastIndexOf(':') + 1)
}

/** The number of bytes that a base64 text encodes. */
function bytesIn(base64: string): number {
  const padding = base64.endsWith('==') ? 2 : Number(base64.endsWith('='))
  return (base64.length / 4) * 3 - padding
}
