/**
 * Tells requests that wait for their client from those that wait for the plugin, which are never
 * held against anybody.
 *
 * @module
 */

import type { ServerHttp2Stream } from 'node:http2'

/**
 * So many looks must have found a request half sent before it counts as left: between two of them
 * this process has read what had arrived.
 */
const LEFT_LOOKS = 3

export class OpenRequest {
  readonly isCompressed: boolean
  readonly #stream: ServerHttp2Stream
  /** What the connection had received at the look before it began. */
  readonly #bytesBefore: number
  #looks = 0

  constructor(stream: ServerHttp2Stream, bytesBefore: number, isCompressed: boolean) {
    this.isCompressed = isCompressed
    this.#stream = stream
    this.#bytesBefore = bytesBefore
  }

  /** Whether it is whole, and its answer still to come. */
  isAtWork(): boolean {
    return this.#stream.readableEnded && !this.#stream.headersSent
  }

  /** The most that it can hold where it is left half sent. */
  unfinishedBytes(received: number): number {
    if (this.#stream.readableEnded) return 0
    this.#looks += 1
    return this.#looks < LEFT_LOOKS ? 0 : received - this.#bytesBefore
  }
}
