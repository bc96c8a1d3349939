/** Clients that break the protocol: what they leave open, and what is told of them. @module */

import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { connect } from 'node:net'
import * as assert from 'uvu/assert'
import { connectKms } from '../../src/grpc/client.ts'
import { startGrpcServer } from '../../src/grpc/server.ts'
import { FakeClock } from '../_lib/fake_clock.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'
import { encodedFrames, headerList } from '../fuzz/mutate/http2.ts'

const CLIENTS = 20
const LONG_MS = 120_000
const [DATA, HEADERS, SETTINGS, GOAWAY] = [0, 1, 4, 7]
const [END_STREAM, END_HEADERS] = [1, 4]
const REQUEST = {
  ...{ ':method': 'POST', ':scheme': 'http', ':path': '/v2.KeyManagementService/Status' },
  ...{ ':authority': 'localhost', te: 'trailers', 'content-type': 'application/grpc' },
}
const NOTHING = Buffer.alloc(0)
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

/** A stream stays open, and there is none of the number that the last frame names. */
const GOODBYE = Buffer.concat([
  PREFACE,
  encodedFrames([
    { type: SETTINGS, flags: 0, stream: 0, payload: NOTHING },
    { type: HEADERS, flags: END_HEADERS, stream: 1, payload: headerList(REQUEST) },
    { type: GOAWAY, flags: 0, stream: 0, payload: Buffer.alloc(8) },
    { type: DATA, flags: END_STREAM, stream: 99, payload: NOTHING },
  ]),
])

async function start(folder: TempFolder) {
  const clock = new FakeClock()
  const server = await startGrpcServer({
    socket: { path: folder.at('kms.sock'), mode: 0o600 },
    service: {
      status: () => 'key-id',
      encrypt: () => Promise.reject(new Error('not asked')),
      decrypt: () => Promise.reject(new Error('not asked')),
    },
    ...{ statusVersion: 'v2', runtimeVersion: '1', requestTimeoutMs: 1_000, drainMs: 1_000 },
    ...{ clock, events: { emit: () => undefined } },
  })
  const client = connectKms(server.path, { timeoutMs: 5_000 })
  return {
    clock,
    server,
    client,
    async [Symbol.asyncDispose]() {
      client.close()
      const closed = server.close()
      await clock.advance(LONG_MS)
      await closed
    },
  }
}

const test = suite('grpc/odd_clients', () => ({}))

test('a connection goes with its client, whatever came after its goodbye [T11]', async () => {
  await using folder = await tempFolder()
  await using one = await start(folder)
  const { clock, server, client } = one
  await client.v2.status()
  const before = descriptors()

  for (let left = CLIENTS; left > 0; left -= 1) {
    const socket = connect({ path: server.path })
    socket.write(GOODBYE)
    await once(socket, 'data')
    socket.destroy()
  }

  await until('every descriptor is given back', async () => {
    await clock.advance(LONG_MS)
    return descriptors() <= before
  })
  assert.is((await client.v2.status()).healthz, 'ok')
})

test('what a client puts into a header is not told on standard error [F8]', async () => {
  await using folder = await tempFolder()
  await using one = await start(folder)
  const said: unknown[] = []
  const { error: tell } = console
  console.error = (...words: unknown[]) => said.push(words)
  const payload = headerList({ ...REQUEST, 'user-agent': 'planted\u00e9' })
  const socket = connect({ path: one.server.path })

  socket.write(
    Buffer.concat([
      PREFACE,
      encodedFrames([
        { type: SETTINGS, flags: 0, stream: 0, payload: NOTHING },
        { type: HEADERS, flags: END_HEADERS + END_STREAM, stream: 1, payload },
      ]),
    ]),
  )
  await once(socket, 'data')
  await one.client.v2.status()

  console.error = tell
  socket.destroy()
  assert.equal(said, [])
})

function descriptors(): number {
  return readdirSync('/proc/self/fd').length
}

test.run()
