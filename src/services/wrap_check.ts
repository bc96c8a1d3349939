/**
 * Recognises answers that cannot belong to a request, whatever the format of a service's
 * ciphertexts: an authenticated ciphertext is longer than its plaintext by a nonce and a tag.
 *
 * @module
 */

import { KmsError } from '../base/errors.ts'

/** A nonce of 12 bytes and a tag of 16; a service may add more. */
const LEAST_OVERHEAD = 28

/**
 * Remembers the last wrap of one provider: the same answer a second time comes from a cache, or was
 * made without a nonce.
 */
export class WrapCheck {
  #last: Uint8Array = new Uint8Array()

  /** @throws KmsError `protocol` for bytes that cannot be the wrap of a plaintext */
  sealed<T extends Uint8Array>(wrap: T, plaintext: Uint8Array): T {
    if (wrap.length < plaintext.length + LEAST_OVERHEAD) {
      throw wrong('a ciphertext that is shorter than its plaintext with a nonce and a tag')
    }
    const before = this.#last
    this.#last = wrap
    const same = wrap.length === before.length && wrap.every((byte, at) => byte === before[at])
    if (same) throw wrong('the same ciphertext twice')
    return wrap
  }
}

/** @throws KmsError `protocol` for bytes that cannot have been inside a wrap */
export function checkOpened<T extends Uint8Array>(plaintext: T, wrap: Uint8Array): T {
  if (plaintext.length > 0 && plaintext.length <= wrap.length - LEAST_OVERHEAD) return plaintext
  throw wrong('a plaintext that cannot be inside of what it was asked to open')
}

/**
 * @throws KmsError `protocol` where a version is listed twice, since it is unclear which entry is
 * true
 */
export function checkDistinct(versions: readonly { readonly label: string }[]): void {
  const labels = new Set(versions.map(({ label }) => label))
  if (labels.size < versions.length) throw wrong('the same key version twice')
}

/** An answer that cannot belong to the request. */
export function wrong(what: string): KmsError {
  const message = `Key service answered ${what}: it, or something in between, does not do what it is asked`
  return new KmsError(message, { code: 'protocol' })
}
