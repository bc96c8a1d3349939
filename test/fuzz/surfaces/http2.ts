/**
 * Raw HTTP/2 on the plugin's socket: frames, header lists, gRPC's own framing. Each input has a
 * connection of its own, which must leave nothing behind, and others are served on.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { readdirSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { create, toBinary } from '@bufbuild/protobuf'
import { type Clock, systemClock } from '../../../src/base/clock.ts'
import type { KmsEvent } from '../../../src/base/events.ts'
import type { KmsService } from '../../../src/base/service.ts'
import { connectKms } from '../../../src/grpc/client.ts'
import { startGrpcServer } from '../../../src/grpc/server.ts'
import { EncryptRequestSchema } from '../../../src/grpc/v2_pb.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { encodedFrames, type Frame, headerList, mutateFrames } from '../mutate/http2.ts'
import { bytesOf, type Surface, type Target } from '../surface.ts'

const [DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS] = [0, 1, 2, 3, 4]
const [PING, GOAWAY, WINDOW_UPDATE, CONTINUATION] = [6, 7, 8, 9]
const [END_STREAM, END_HEADERS, PADDED] = [1, 4, 8]
const GRPC = '../node_modules/@grpc/grpc-js/build/src/'
const LIMIT_MS = 10_000
const PATIENCE_MS = 20
/** After so many inputs somebody else asks. */
const LOOK = 64
const MOST_OPEN = 500

/** A hundred times as fast as it is. */
const FAST: Clock = {
  ...systemClock,
  after: (ms, run) => systemClock.after(ms / 100, run),
}

const PREFACE = bytesOf('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
const NOTHING = Buffer.alloc(0)
/** Of a type that nobody knows, so long that it ends whatever frame was begun before it. */
const FILLER = frame(0xfa, 0, 0, Buffer.alloc(16_384))
const LAST_PING = Buffer.from('the last')
const ACK = encodedFrames([frame(PING, 1, 0, LAST_PING)])
const END = encodedFrames([FILLER, frame(PING, 0, 0, LAST_PING)])

const service: KmsService = {
  status: () => 'key-id',
  encrypt: ({ plaintext }) =>
    Promise.resolve({ ciphertext: plaintext, keyId: 'key-id', annotations: {} }),
  decrypt: ({ ciphertext }) => Promise.resolve(ciphertext),
}

export const http2: Surface = {
  name: 'http2',
  from: 'whoever may connect to the socket',
  files: [
    ...['grpc/server.ts', 'grpc/unary.ts', 'grpc/v2.ts', 'grpc/message.ts'],
    ...['server', 'server-interceptors', 'stream-decoder', 'metadata', 'compression-filter'].map(
      (file) => `${GRPC}${file}.js`,
    ),
  ],
  mutate: mutateFrames,
  open,
}

async function open(): Promise<Target> {
  const folder = await tempFolder()
  const path = folder.at('kms.sock')
  const internal: unknown[] = []
  const emit = (event: KmsEvent) => {
    if (event.type === 'request' && event.code === 'internal') internal.push(event.error)
  }
  const server = await startGrpcServer({
    ...{ clock: FAST, events: { emit }, service, requestTimeoutMs: 500_000, drainMs: 100_000 },
    ...{ socket: { path, mode: 0o600 }, statusVersion: 'v2', runtimeVersion: '1' },
  })
  const client = connectKms(path, { timeoutMs: LIMIT_MS })
  let inputs = 0
  return {
    seeds: seeds(),
    async run(input) {
      await exchanged(path, input)
      inputs += 1
      if (inputs % LOOK === 0) {
        await client.v2.status()
        checkOpen()
      }
      const [error] = internal.splice(0)
      if (error !== undefined) throw error
    },
    async [Symbol.asyncDispose]() {
      client.close()
      await server.close()
      await folder[Symbol.asyncDispose]()
    },
  }
}

/** Settles once the server has answered all of it, has closed the connection, or is waiting. */
function exchanged(path: string, input: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const socket: Socket = connect({ path })
    let last = NOTHING
    // The server may wait for the rest of a frame that claims to be longer than all that comes.
    const patience = setTimeout(() => socket.destroy(), PATIENCE_MS)
    socket
      .on('data', (chunk: Buffer) => {
        const joined = Buffer.concat([last, chunk])
        if (joined.includes(ACK)) socket.destroy()
        last = joined.subarray(-ACK.length)
      })
      .on('end', () => socket.destroy())
      // The server may close while this side still writes.
      .on('error', () => undefined)
      .on('close', () => {
        clearTimeout(patience)
        resolve()
      })
    socket.write(Buffer.concat([PREFACE, input, END]))
  })
}

/** Connections that nobody has the other end of are not kept. */
function checkOpen(): void {
  const { length } = readdirSync('/proc/self/fd')
  if (length > MOST_OPEN) throw new TypeError(`${length} descriptors are open`)
}

function frame(type: number, flags: number, stream: number, payload: Uint8Array): Frame {
  return { type, flags, stream, payload }
}

function seeds(): Buffer[] {
  const status = headers('/v2.KeyManagementService/Status')
  const encrypt = headers('/v2.KeyManagementService/Encrypt', { 'grpc-timeout': '3S' })
  const plaintext = create(EncryptRequestSchema, { plaintext: Buffer.alloc(32, 7), uid: 'u' })
  const message = framed(toBinary(EncryptRequestSchema, plaintext))
  const settings = frame(SETTINGS, 0, 0, NOTHING)
  const middle = status.length >>> 1
  const compressed = headers('/v2.KeyManagementService/Encrypt', { 'grpc-encoding': 'gzip' })
  return [
    [
      settings,
      frame(HEADERS, END_HEADERS, 1, status),
      frame(DATA, END_STREAM, 1, framed(NOTHING)),
      frame(HEADERS, END_HEADERS, 3, encrypt),
      frame(DATA, 0, 3, message.subarray(0, 7)),
      frame(DATA, END_STREAM, 3, message.subarray(7)),
    ],
    [
      frame(SETTINGS, 0, 0, Buffer.from('000100000000000300000001000400000000', 'hex')),
      frame(HEADERS, 0, 1, status.subarray(0, middle)),
      frame(CONTINUATION, END_HEADERS, 1, status.subarray(middle)),
      frame(WINDOW_UPDATE, 0, 0, Buffer.from('00010000', 'hex')),
      frame(
        DATA,
        PADDED + END_STREAM,
        1,
        Buffer.concat([Buffer.of(3), framed(NOTHING), Buffer.alloc(3)]),
      ),
      frame(PRIORITY, 0, 5, Buffer.from('0000000110', 'hex')),
      frame(PING, 0, 0, Buffer.alloc(8)),
      frame(RST_STREAM, 0, 1, Buffer.from('00000008', 'hex')),
    ],
    [
      settings,
      frame(SETTINGS, 1, 0, NOTHING),
      frame(HEADERS, END_HEADERS, 1, compressed),
      frame(DATA, 0, 1, Buffer.from('0100000004deadbeef', 'hex')),
      frame(HEADERS, END_HEADERS + END_STREAM, 1, headerList({ trailer: 'x' })),
      frame(HEADERS, END_HEADERS + END_STREAM, 3, headers('/v1beta1.KeyManagementService/Nothing')),
      frame(GOAWAY, 0, 0, Buffer.alloc(8)),
    ],
  ].map(encodedFrames)
}

function headers(path: string, more: Readonly<Record<string, string>> = {}): Buffer {
  return headerList({
    ...{ ':method': 'POST', ':scheme': 'http', ':path': path, ':authority': 'localhost' },
    ...{ te: 'trailers', 'content-type': 'application/grpc', 'user-agent': 'fuzz', ...more },
  })
}

/** As gRPC frames a message that is not compressed. */
function framed(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}
