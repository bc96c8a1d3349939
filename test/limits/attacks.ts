/** What a hostile neighbour may do at the socket of API servers, a function each. @module */

import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { create, toBinary } from '@bufbuild/protobuf'
import { EncryptRequestSchema } from '../../src/grpc/v2_pb.ts'
import { HostileConnection } from './connection.ts'
import {
  data,
  frame,
  grpcHeaders,
  header,
  headers,
  message,
  NEWEST_HEADER,
  PING,
  reset,
  settings,
  TYPE,
} from './frames.ts'

export interface Scene {
  readonly path: string
  /** Whether it is still to go on. */
  readonly goesOn: () => boolean
}

type Attack = (scene: Scene) => Promise<void>
type Habits = Parameters<typeof HostileConnection.open>[1]

const ENCRYPT = message(
  Buffer.from(
    toBinary(
      EncryptRequestSchema,
      create(EncryptRequestSchema, { plaintext: new Uint8Array(32).fill(7), uid: 'hostile' }),
    ),
  ),
)
const EMPTY = message(Buffer.alloc(0))
/** What one write has at most. */
const BATCH = 64
const LANES = 20

/** What they have first asked for is more than strangers get. */
const ASKS: Habits = { asks: true }

/** As many connections, opened some at a time, and on each of them what `act` sends. */
async function over(
  { path, goesOn }: Scene,
  { connections, habits }: { connections: number; habits?: Habits | undefined },
  act: (connection: HostileConnection) => Promise<unknown> = () => Promise.resolve(),
): Promise<void> {
  let opened = 0
  const lane = async () => {
    const acts: Promise<unknown>[] = []
    while (opened < connections && goesOn()) {
      opened += 1
      const connection = await HostileConnection.open(path, { ...ASKS, ...habits })
      if (connection !== undefined) acts.push(act(connection))
    }
    await Promise.all(acts)
  }
  await Promise.all(Array.from({ length: LANES }, lane))
}

/** So many streams of one connection, a batch at a time. */
async function streams(
  connection: HostileConnection,
  count: number,
  bytesOf: (stream: number) => Buffer,
): Promise<void> {
  for (let sent = 0; sent < count; sent += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, count - sent) }, () =>
      bytesOf(connection.nextStream()),
    )
    if (!(await connection.send(Buffer.concat(batch)))) return
    await setImmediate()
  }
}

interface Flood {
  readonly habits?: Habits
  readonly begin?: () => Buffer
}

/** Again and again until it is over, over a new connection where the server closed the one before. */
function flood(
  connections: number,
  bytesOf: (connection: HostileConnection) => Buffer,
  options: Flood = {},
): Attack {
  return async (scene) => {
    const one = async () => {
      while (scene.goesOn()) await floodOnce(scene, bytesOf, options)
    }
    await Promise.all(Array.from({ length: connections }, one))
  }
}

async function floodOnce(
  { path, goesOn }: Scene,
  bytesOf: (connection: HostileConnection) => Buffer,
  { habits, begin }: Flood,
): Promise<void> {
  const connection = await HostileConnection.open(path, { ...ASKS, ...habits })
  await setImmediate()
  if (connection === undefined) return
  if (begin !== undefined) await connection.send(begin())
  while (goesOn() && (await connection.send(bytesOf(connection)))) await setImmediate()
  connection.close()
}

/** So many streams over so many connections, which are then left as they are. */
function left(
  { connections, each, habits }: { connections: number; each: number; habits?: Habits },
  bytesOf: (stream: number) => Buffer,
): Attack {
  return (scene) =>
    over(scene, { connections, habits }, (connection) => streams(connection, each, bytesOf))
}

const call = (method: string, body: Buffer) => (stream: number) =>
  Buffer.concat([headers(stream, grpcHeaders(method)), data(stream, body, true)])
const encrypt = call('Encrypt', ENCRYPT)
const half = (bytes: number, of: number) => {
  const body = message(randomBytes(bytes), { length: of })
  return (stream: number) =>
    Buffer.concat([headers(stream, grpcHeaders('Encrypt')), data(stream, body, false)])
}
const many = (bytesOf: (stream: number) => Buffer) => (connection: HostileConnection) =>
  Buffer.concat(Array.from({ length: BATCH }, () => bytesOf(connection.nextStream())))
const withHeaders = (...more: readonly Buffer[]) => {
  const block = grpcHeaders('Encrypt', ...more)
  return (stream: number) => headers(stream, block)
}
const gzip = header('grpc-encoding', 'gzip')
const bomb = gzipSync(Buffer.alloc(64 * 2 ** 20))
const packed = (body: Buffer) => (stream: number) =>
  Buffer.concat([
    headers(stream, grpcHeaders('Encrypt', gzip)),
    data(stream, message(body, { compressed: true }), true),
  ])
/** Around each limit that there is or was: a piece, a request, a number of 16 and of 32 bits. */
const SIZES = [0, 1, 1_024, 1_025, 16_384, 16_385, 65_535, 65_536, 131_072, 131_073, 262_144]
const TOO_LARGE = [262_145, 4_194_304, 0xffff_ffff]
const sized = [
  ...SIZES.map((size) => message(Buffer.alloc(size))),
  ...TOO_LARGE.map((length) => message(Buffer.alloc(70_000), { length })),
]
const slowWriter = async (connection: HostileConnection, goesOn: () => boolean) => {
  const opened: number[] = []
  await streams(connection, 200, (stream) => {
    opened.push(stream)
    return half(0, 1_000)(stream)
  })
  const byte = Buffer.alloc(1)
  while (
    goesOn() &&
    (await connection.send(Buffer.concat(opened.map((s) => data(s, byte, false)))))
  )
    await new Promise((resolve) => {
      setTimeout(resolve, 200)
    })
}

/** By what the table calls them. */
export const ATTACKS: Readonly<Record<string, Attack>> = {
  '1,000 idle connections': (scene) => over(scene, { connections: 1_000 }),
  '5,000 idle connections': (scene) => over(scene, { connections: 5_000 }),
  '1,000 connections that say nothing': (scene) =>
    over(scene, { connections: 1_000, habits: { asks: false, greets: false } }),
  'new connections without end, 100 at once': flood(100, many(encrypt), {
    habits: { asks: false, reads: false },
  }),
  '10,000 Encrypts at once over 40 connections': left({ connections: 40, each: 250 }, encrypt),
  'a flood of Status over 20 connections': flood(20, many(call('Status', EMPTY))),
  'a flood of Encrypt over 20 connections': flood(20, many(encrypt)),
  '88,000 requests taken back over 20 connections': left(
    { connections: 20, each: 4_400 },
    (stream) => Buffer.concat([encrypt(stream), reset(stream)]),
  ),
  'rapid reset without end over 20 connections': flood(
    20,
    many((stream) => Buffer.concat([encrypt(stream), reset(stream)])),
  ),
  'CONTINUATION without end over 20 connections': flood(
    20,
    () => frame(TYPE.continuation, 0, 1, header('x-more', 'a'.repeat(1_000))),
    { begin: () => frame(TYPE.headers, 0, 1, grpcHeaders('Encrypt')) },
  ),
  'SETTINGS without end, no answer read': flood(
    20,
    () => Buffer.concat(Array(BATCH).fill(settings())),
    { habits: { reads: false } },
  ),
  'PING without end, no answer read': flood(20, () => Buffer.concat(Array(BATCH).fill(PING)), {
    habits: { reads: false },
  }),
  'empty DATA frames without end': flood(
    20,
    () => Buffer.concat(Array(BATCH).fill(frame(TYPE.data, 0, 1))),
    { begin: () => headers(1, grpcHeaders('Encrypt')) },
  ),
  '7,000 streams with a header of 60 kB': left(
    { connections: 30, each: 234 },
    withHeaders(header('x-large', 'a'.repeat(60_000))),
  ),
  '7,000 streams with 120 kB of headers, settings never in force': left(
    { connections: 30, each: 234, habits: { acknowledges: false } },
    withHeaders(...Array(30).fill(header('x-large', 'a'.repeat(4_000)))),
  ),
  '7,000 streams with a header of 4 kB named 100 times': left(
    { connections: 30, each: 234, habits: { acknowledges: false } },
    withHeaders(header('x-large', 'a'.repeat(4_000), true), ...Array(99).fill(NEWEST_HEADER)),
  ),
  'messages of 64 kB that unpack to 64 MB': flood(10, many(packed(bomb))),
  'packed messages of 100 kB': flood(10, many(packed(gzipSync(randomBytes(100_000))))),
  '20,000 answers for which there is no window': left(
    { connections: 80, each: 250, habits: { window: 0 } },
    encrypt,
  ),
  '49,000 answers that nobody reads': left(
    { connections: 196, each: 250, habits: { reads: false } },
    encrypt,
  ),
  '20,000 answers that are read slowly': left(
    { connections: 80, each: 250, habits: { reads: 'slowly' } },
    encrypt,
  ),
  '20,000 slow writers over 100 connections': (scene) =>
    over(scene, { connections: 100 }, (connection) => slowWriter(connection, scene.goesOn)),
  '10,000 streams with half a message of 80 kB': left(
    { connections: 100, each: 100 },
    half(40_000, 80_000),
  ),
  '2,000 streams with all but the end of a message of 256 kB': left(
    { connections: 8, each: 250 },
    half(262_000, 262_144),
  ),
  'such streams without end': flood(8, (connection) =>
    half(262_000, 262_144)(connection.nextStream()),
  ),
  '102,800 streams left on one connection': left({ connections: 1, each: 102_800 }, (stream) =>
    headers(stream, grpcHeaders('Encrypt')),
  ),
  '25,000 streams left over 100 connections': left({ connections: 100, each: 250 }, (stream) =>
    headers(stream, grpcHeaders('Encrypt')),
  ),
  'messages of every size around a limit': flood(10, (connection) =>
    Buffer.concat(sized.map((body) => call('Encrypt', body)(connection.nextStream()))),
  ),
  'methods that are not there': flood(20, many(call('Nothing', EMPTY))),
  'HTTP/1 and junk': flood(
    50,
    () => Buffer.concat([Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'), randomBytes(4_000)]),
    { habits: { asks: false, greets: false } },
  ),
}
