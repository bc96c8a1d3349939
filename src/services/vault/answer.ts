/**
 * Whether an answer of the transit engine can be the one to what was asked. A wrap
 * of another item, or one under a nonce that was used before, is found when it is to
 * be opened, which is too late; so an answer with one such result counts for nothing.
 *
 * @module
 */

import { randomUUID } from 'node:crypto'
import { wrong } from '../wrap_check.ts'
import type { BatchResult } from './transit.ts'

/** An item of a batch, of which the service is to repeat the reference beside its result. */
interface ReferencedItem {
  readonly reference: string
  /** Of what is to be encrypted, in base64. */
  readonly plaintext?: string
  /** Of what is to be decrypted. */
  readonly ciphertext?: string
}

/** So much longer than its plaintext is a wrap: a nonce of 12 bytes, or 24 with xchacha20, and a tag of 16. */
const OVERHEADS: ReadonlySet<number> = new Set([28, 40])
/** The shortest nonce in base64. */
const NONCE_CHARACTERS = 16
/** Of an identifier; with it no two requests have a reference in common. */
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

/** Older servers repeat none; one that repeats any repeats all. */
function checkReferences(asked: readonly ReferencedItem[], results: readonly BatchResult[]): void {
  if (results.every(({ reference = '' }) => reference === '')) return
  if (asked.every(({ reference }, index) => results[index]?.reference === reference)) return
  throw wrong('the results of other items, or in another order')
}

/** A key has one type, and that one overhead. */
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

/** `vault:v1:` stands before the base64, which has no colon. */
function afterPrefix(ciphertext: string): string {
  return ciphertext.slice(ciphertext.lastIndexOf(':') + 1)
}

/** How many bytes a text in base64 stands for. */
function bytesIn(base64: string): number {
  const padding = base64.endsWith('==') ? 2 : Number(base64.endsWith('='))
  return (base64.length / 4) * 3 - padding
}
