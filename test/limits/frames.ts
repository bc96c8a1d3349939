/** HTTP/2 frames as a hostile client writes them: no library checks what it sends. @module */

import { Buffer } from 'node:buffer'

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

export const TYPE = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const

export const FLAG = { endStream: 1, ack: 1, endHeaders: 4 } as const

/** Of a setting. */
export const INITIAL_WINDOW = 4
const HEAD_BYTES = 9
const MAX_WINDOW = 0x7fff_ffff
const DEFAULT_WINDOW = 65_535
const CANCEL = 8
const NONE = Buffer.alloc(0)

export function frame(type: number, flags: number, stream: number, body: Buffer = NONE): Buffer {
  const head = Buffer.alloc(HEAD_BYTES)
  head.writeUIntBE(body.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, body])
}

export function settings(values: Readonly<Record<number, number>> = {}): Buffer {
  const pairs = Object.entries(values).map(([name, value]) => {
    const pair = Buffer.alloc(6)
    pair.writeUInt16BE(Number(name), 0)
    pair.writeUInt32BE(value, 2)
    return pair
  })
  return frame(TYPE.settings, 0, 0, Buffer.concat(pairs))
}

export const SETTINGS_ACK = frame(TYPE.settings, FLAG.ack, 0)
export const PING = frame(TYPE.ping, 0, 0, Buffer.alloc(8))

function number32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** The widest window that the connection, or a stream, can have. */
export function openWindow(stream = 0): Buffer {
  return frame(TYPE.windowUpdate, 0, stream, number32(MAX_WINDOW - DEFAULT_WINDOW))
}

export function reset(stream: number): Buffer {
  return frame(TYPE.reset, 0, stream, number32(CANCEL))
}

/** HPACK, without Huffman's code and without a table: RFC 7541, 5.1 and 5.2. */
function integer(value: number, prefixBits: number, pattern: number): Buffer {
  const most = 2 ** prefixBits - 1
  if (value < most) return Buffer.from([pattern | value])
  const bytes = [pattern | most]
  let rest = value - most
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  return Buffer.from([...bytes, rest])
}

function text(value: string): Buffer {
  return Buffer.concat([integer(value.length, 7, 0), Buffer.from(value, 'latin1')])
}

/** @param indexed whether the client's table keeps it (RFC 7541, 6.2.1) */
export function header(name: string, value: string, indexed = false): Buffer {
  return Buffer.concat([Buffer.from([indexed ? 0x40 : 0]), text(name), text(value)])
}

/** The newest entry of the table. */
export const NEWEST_HEADER = Buffer.from([0x80 | 62])

/** What a gRPC client sends, by indexes of the static table where there are. */
export function grpcHeaders(method: string, ...more: readonly Buffer[]): Buffer {
  return Buffer.concat([
    Buffer.from([0x83, 0x86]),
    Buffer.from([0x04]),
    text(`/v2.KeyManagementService/${method}`),
    Buffer.from([0x01]),
    text('localhost'),
    Buffer.from([0x0f, 0x10]),
    text('application/grpc'),
    header('te', 'trailers'),
    ...more,
  ])
}

/** A gRPC message; `length` is what its head says, whatever the body has. */
export function message(body: Buffer, { length = body.length, compressed = false } = {}): Buffer {
  const head = Buffer.alloc(5)
  head[0] = compressed ? 1 : 0
  head.writeUInt32BE(length, 1)
  return Buffer.concat([head, body])
}

const MAX_FRAME = 16_384

/** As many DATA frames as it takes; the last one ends the stream where that is asked for. */
export function data(stream: number, body: Buffer, end: boolean): Buffer {
  const frames: Buffer[] = []
  for (let at = 0; at === 0 || at < body.length; at += MAX_FRAME) {
    const part = body.subarray(at, at + MAX_FRAME)
    const isLast = at + MAX_FRAME >= body.length
    frames.push(frame(TYPE.data, end && isLast ? FLAG.endStream : 0, stream, part))
  }
  return Buffer.concat(frames)
}

/** HEADERS, and CONTINUATION where they do not fit into one frame. */
export function headers(stream: number, block: Buffer, end = false): Buffer {
  const frames: Buffer[] = []
  for (let at = 0; at === 0 || at < block.length; at += MAX_FRAME) {
    const isLast = at + MAX_FRAME >= block.length
    const flags = (isLast ? FLAG.endHeaders : 0) | (end && at === 0 ? FLAG.endStream : 0)
    const type = at === 0 ? TYPE.headers : TYPE.continuation
    frames.push(frame(type, flags, stream, block.subarray(at, at + MAX_FRAME)))
  }
  return Buffer.concat(frames)
}

interface FrameHead {
  readonly type: number
  readonly flags: number
}

/** Takes bytes as they come, and gives whole frames. */
export function frameReader(take: (frame: FrameHead) => void): (bytes: Buffer) => void {
  let held: Buffer = Buffer.alloc(0)
  return (bytes) => {
    held = held.length === 0 ? bytes : Buffer.concat([held, bytes])
    for (let length = wholeFrame(held); length > 0; length = wholeFrame(held)) {
      take({ type: held[3] ?? 0, flags: held[4] ?? 0 })
      held = held.subarray(length)
    }
  }
}

/** How long the first frame is; 0 where it is not all there. */
function wholeFrame(held: Buffer): number {
  if (held.length < HEAD_BYTES) return 0
  const length = HEAD_BYTES + held.readUIntBE(0, 3)
  return length > held.length ? 0 : length
}
