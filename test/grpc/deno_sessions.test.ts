/** Clients that say goodbye while the server reads; each has taken what it asked for. @module */

import { Buffer } from 'node:buffer'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import * as assert from 'uvu/assert'
import { systemClock } from '../../src/base/clock.ts'
import { connectKms } from '../../src/grpc/client.ts'
import { startGrpcServer } from '../../src/grpc/server.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'
import { HostileConnection } from '../limits/connection.ts'
import { frame, TYPE } from '../limits/frames.ts'

const CLIENTS = 100
const BUFFERS = 100
const PATIENCE_MS = 60_000
const NEW_STREAM = 'http2.server.stream.created'
/** Its last stream and its code, which is that all is well. */
const GOODBYE = frame(TYPE.goaway, 0, 0, Buffer.alloc(8))

const test = suite('grpc/deno_sessions', () => ({}), 120_000)

async function start(folder: TempFolder) {
  const server = await startGrpcServer({
    socket: { path: folder.at('kms.sock'), mode: 0o600 },
    service: {
      status: () => 'key-id',
      encrypt: () => Promise.reject(new Error('not asked')),
      decrypt: () => Promise.reject(new Error('not asked')),
    },
    ...{ statusVersion: 'v2', runtimeVersion: '1', requestTimeoutMs: PATIENCE_MS, drainMs: 0 },
    ...{ clock: systemClock, events: { emit: () => undefined } },
  })
  const good = connectKms(server.path, { timeoutMs: PATIENCE_MS })
  return {
    good,
    path: server.path,
    async [Symbol.asyncDispose]() {
      good.close()
      await server.close()
    },
  }
}

/** Has others take at once what the end of a session sets free, so that whoever still uses it is found. */
function fillWhatIsFreed() {
  const sessions = new Set<ServerHttp2Session>()
  const kept: Buffer[] = []
  const hear = (message: unknown): void => {
    const { session } = (message as { readonly stream: ServerHttp2Stream }).stream
    if (session === undefined || sessions.has(session as ServerHttp2Session)) return
    sessions.add(session as ServerHttp2Session)
    const destroy: (...args: never[]) => void = session.destroy
    session.destroy = (...args: never[]) => {
      Reflect.apply(destroy, session, args)
      for (let at = 0; at < BUFFERS; at += 1) kept[at] = Buffer.from('x'.repeat(16 * (at + 1)))
    }
  }
  subscribe(NEW_STREAM, hear)
  return {
    sessions,
    [Symbol.dispose]() {
      unsubscribe(NEW_STREAM, hear)
    },
  }
}

test('a client that says goodbye is let go, and whoever else is connected is served', async () => {
  await using folder = await tempFolder()
  using freed = fillWhatIsFreed()
  await using plugin = await start(folder)
  await plugin.good.v2.status()

  for (let at = 0; at < CLIENTS; at += 1) {
    const client = await HostileConnection.open(plugin.path, { asks: true })
    if (client === undefined) throw new Error('It was not taken')
    await until('it has its answer', () => client.answers === 1)
    await client.send(GOODBYE)
    await until('its connection is closed', () => !client.isOpen)
  }

  assert.is((await plugin.good.v2.status()).healthz, 'ok')
  assert.is(freed.sessions.size, CLIENTS + 1)
  await until('no session of theirs is left', () => {
    return [...freed.sessions].filter(({ destroyed }) => !destroyed).length === 1
  })
})

test.run()
