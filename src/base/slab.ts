/**
 * Hands out small pieces of larger arrays. Every array of its own costs the runtime an allocation
 * outside its heap and work when it collects garbage.
 *
 * @module
 */

/**
 * Use it only for bytes that are not secret and live about as long as a request, because a piece
 * keeps its whole array alive.
 */
export class Slab {
  readonly #bytes: number
  readonly #fill: (bytes: number) => Uint8Array
  #slab: Uint8Array = new Uint8Array()
  #used = 0

  /** @param fill makes the arrays that pieces are taken of; zeros where absent */
  constructor(bytes: number, fill: (bytes: number) => Uint8Array = (size) => new Uint8Array(size)) {
    this.#bytes = bytes
    this.#fill = fill
  }

  /** Bytes that no other caller has. */
  take(bytes: number): Uint8Array {
    if (bytes > this.#bytes / 4) return this.#fill(bytes)
    if (this.#used + bytes > this.#slab.length) {
      this.#slab = this.#fill(this.#bytes)
      this.#used = 0
    }
    this.#used += bytes
    return this.#slab.subarray(this.#used - bytes, this.#used)
  }
}
