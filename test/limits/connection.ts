/** A hostile client's connection, which counts what it gets for what it sends. @module */

import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  data,
  FLAG,
  frameReader,
  grpcHeaders,
  headers,
  INITIAL_WINDOW,
  message,
  openWindow,
  PREFACE,
  SETTINGS_ACK,
  settings,
  TYPE,
} from './frames.ts'

interface Habits {
  /** Whether it first asks as others do, and so may ask as much as they. */
  readonly asks?: boolean
  /** What it then says its streams' windows are; 0 lets no answer through. */
  readonly window?: number
  /** Whether it then takes anything from its socket. */
  readonly reads?: boolean | 'slowly'
  /** Whether it ever says that the server's settings are in force. */
  readonly acknowledges?: boolean
  /** Whether it speaks HTTP/2 at all. */
  readonly greets?: boolean
}

/** Of all connections of the process. */
export const SEEN = { connected: 0, refused: 0, answers: 0, resets: 0, goaways: 0, closed: 0 }

const WIDE = 1_048_576
const SLOW_BYTES = 64
const SLOW_MS = 100
const ASKED_MS = 5
/** A server that reads no more is waited for no longer. */
const STALL_MS = 1_000

export class HostileConnection {
  readonly #socket: Socket
  #nextStream = 1
  isOpen = true
  answers = 0
  resets = 0
  /** How often the server told what it allows. */
  settings = 0

  private constructor(socket: Socket, habits: Habits) {
    const { acknowledges = true, greets = true } = habits
    this.#socket = socket
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.isOpen = false
      SEEN.closed += 1
    })
    if (greets) {
      socket.write(PREFACE)
      socket.write(settings({ [INITIAL_WINDOW]: WIDE }))
      socket.write(openWindow())
    }
    const read = frameReader(({ type, flags }) => {
      this.#count(type, flags)
      if (type !== TYPE.settings || flags === FLAG.ack) return
      this.settings += 1
      if (acknowledges) socket.write(SETTINGS_ACK)
    })
    socket.on('data', greets ? read : () => undefined)
  }

  /** Settles once it had an answer, and whatever the server says to that; or is not to have one. */
  async #ask(): Promise<void> {
    const stream = this.nextStream()
    const body = data(stream, message(Buffer.alloc(0)), true)
    await this.send(Buffer.concat([headers(stream, grpcHeaders('Status')), body]))
    const limit = performance.now() + STALL_MS
    while (this.isOpen && this.answers === 0 && performance.now() < limit) await sleep(ASKED_MS)
    await sleep(ASKED_MS)
  }

  #misbehave({ window = WIDE, reads = true }: Habits): void {
    if (window !== WIDE) this.#socket.write(settings({ [INITIAL_WINDOW]: window }))
    if (reads !== true) this.#socket.removeAllListeners('data').pause()
    if (reads === 'slowly') this.#readSlowly()
  }

  /** Some bytes now and then. */
  #readSlowly(): void {
    const timer = setInterval(() => this.#socket.read(SLOW_BYTES), SLOW_MS)
    this.#socket.once('close', () => clearInterval(timer))
  }

  /** Undefined where the server, or its backlog, does not take it. */
  static async open(path: string, habits: Habits = {}): Promise<HostileConnection | undefined> {
    const socket = connect(path)
    try {
      await once(socket, 'connect')
    } catch {
      SEEN.refused += 1
      return undefined
    }
    SEEN.connected += 1
    const connection = new HostileConnection(socket, habits)
    if (habits.asks === true) await connection.#ask()
    connection.#misbehave(habits)
    return connection
  }

  /** An answer ends with its trailers. */
  #count(type: number, flags: number): void {
    if (type === TYPE.goaway) SEEN.goaways += 1
    if (type === TYPE.headers && (flags & FLAG.endStream) !== 0) {
      SEEN.answers += 1
      this.answers += 1
    }
    if (type === TYPE.reset) {
      SEEN.resets += 1
      this.resets += 1
    }
  }

  nextStream(): number {
    const stream = this.#nextStream
    this.#nextStream += 2
    return stream
  }

  /** Waits while the server does not read; false once it closed the connection, or reads no more. */
  async send(bytes: Buffer): Promise<boolean> {
    if (!this.isOpen) return false
    if (this.#socket.write(bytes)) return true
    const limit = AbortSignal.timeout(STALL_MS)
    await once(this.#socket, 'drain', { signal: limit }).catch(() => undefined)
    return this.isOpen && !this.#socket.writableNeedDrain
  }

  close(): void {
    this.#socket.destroy()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
