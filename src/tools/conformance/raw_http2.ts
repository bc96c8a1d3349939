/**
 * Sends HTTP/2 in single frames, to test what a well-behaved client never causes: the first frame,
 * pings, idle connections and bursts of resets.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { connect, type Socket } from 'node:net'

export const FRAME = { headers: 1, reset: 3, settings: 4, ping: 6, goaway: 7 } as const

interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Uint8Array
}

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
const HEADER_BYTES = 9
const MAX_FRAME_BYTES = 16_384
const ACK = 1

export class RawConnection implements Disposable {
  readonly #socket: Socket
  readonly #frames: Frame[] = []
  readonly #waiting = new Set<() => void>()
  #unread = Buffer.alloc(0)
  #closed = false
  #garbage = false

  /** Sends the preface and its settings at once, as every client does. */
  constructor(path: string) {
    this.#socket = connect(path)
    this.#socket.on('data', (bytes) => this.#read(Buffer.from(bytes)))
    this.#socket.on('error', () => this.#socket.destroy())
    this.#socket.on('close', () => {
      this.#closed = true
      this.#wake()
    })
    this.#socket.write(PREFACE)
    this.send({ type: FRAME.settings, flags: 0, stream: 0, payload: Buffer.alloc(0) })
  }

  [Symbol.dispose](): void {
    this.#socket.destroy()
  }

  get closed(): boolean {
    return this.#closed
  }

  /** True where the bytes that arrived are not HTTP/2. */
  get garbage(): boolean {
    return this.#garbage
  }

  send({ type, flags, stream, payload }: Frame): void {
    const header = Buffer.alloc(HEADER_BYTES)
    header.writeUIntBE(payload.length, 0, 3)
    header.writeUInt8(type, 3)
    header.writeUInt8(flags, 4)
    header.writeUInt32BE(stream, 5)
    this.#socket.write(Buffer.concat([header, payload]))
  }

  /** The first frame that fits, or undefined when none comes in time. */
  async frame(fits: (frame: Frame) => boolean, limitMs: number): Promise<Frame | undefined> {
    const end = performance.now() + limitMs
    for (;;) {
      const found = this.#frames.find(fits)
      const left = end - performance.now()
      if (found !== undefined || this.#closed || this.#garbage || left <= 0) return found
      await this.#change(left)
    }
  }

  /** Resolves when something arrives or the connection closes, at the latest after `limitMs`. */
  #change(limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer)
        this.#waiting.delete(done)
        resolve()
      }
      const timer = setTimeout(done, limitMs)
      this.#waiting.add(done)
    })
  }

  #read(bytes: Buffer): void {
    this.#unread = Buffer.concat([this.#unread, bytes])
    while (this.#unread.length >= HEADER_BYTES && !this.#garbage) {
      const end = HEADER_BYTES + this.#unread.readUIntBE(0, 3)
      if (end > HEADER_BYTES + MAX_FRAME_BYTES) this.#garbage = true
      if (this.#unread.length < end) break
      this.#take({
        type: this.#unread.readUInt8(3),
        flags: this.#unread.readUInt8(4),
        stream: this.#unread.readUInt32BE(5),
        payload: this.#unread.subarray(HEADER_BYTES, end),
      })
      this.#unread = this.#unread.subarray(end)
    }
    this.#wake()
  }

  #take(frame: Frame): void {
    this.#frames.push(frame)
    const isOurs = (frame.flags & ACK) !== 0
    if (frame.type === FRAME.settings && !isOurs) this.send({ ...frame, ...ACKNOWLEDGED })
    if (frame.type === FRAME.ping && !isOurs) this.send({ ...frame, flags: ACK })
  }

  #wake(): void {
    for (const wake of this.#waiting) wake()
  }
}

const ACKNOWLEDGED = { flags: ACK, payload: Buffer.alloc(0) }

export function isAck({ flags }: Frame): boolean {
  return (flags & ACK) !== 0
}

/** Header fields as HPACK literals: no table, no Huffman code. */
export function headerBlock(fields: Readonly<Record<string, string>>): Buffer {
  const parts = Object.entries(fields).flatMap(([name, value]) => [
    Buffer.from([0, name.length]),
    Buffer.from(name),
    Buffer.from([value.length]),
    Buffer.from(value),
  ])
  return Buffer.concat(parts)
}
