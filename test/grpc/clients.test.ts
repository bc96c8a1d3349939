/**
 * Each limit of `src/grpc/clients.ts` with a client that exceeds it beside one that does not: the
 * first loses its connection, or waits, and the second notices nothing.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { rm } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { systemClock } from '../../src/base/clock.ts'
import type { KmsService } from '../../src/base/service.ts'
import { connectKms, type KmsClient } from '../../src/grpc/client.ts'
import { startGrpcServer } from '../../src/grpc/server.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'
import { HostileConnection } from '../limits/connection.ts'
import { data, grpcHeaders, header, headers, message, reset } from '../limits/frames.ts'

const KEY_ID = 'tr1-any-v1-test'
const SEED = new Uint8Array(32).fill(7)
const STATUS = message(Buffer.alloc(0))
const ENCRYPT = message(Buffer.from([0x0a, 1, 7]))
/** As in `src/grpc/clients.ts`. */
const MAX_CONNECTIONS = 64
const MAX_STRANGERS = 32
const FEW_STREAMS = 16
const MANY_STREAMS = 256
const MAX_STREAMS = 2_048
/** Half of 64, which would be too many. */
const SHARE_OF_40 = 32
const MAX_UNFINISHED_BYTES = 1_048_576
const MAX_HEADER_BYTES = 8_192
const MAX_COMPRESSED = 16
/** Fewer than there is room for. */
const ENDED_AT_ONCE = 30
const REQUEST_TIMEOUT_MS = 60_000
const PATIENCE_MS = 60_000

const test = suite('grpc/clients', () => ({}), 120_000)

/** Counts what is under way, and answers nothing until it is released. */
function held() {
  const { promise, resolve } = Promise.withResolvers<void>()
  const seen = { now: 0, most: 0, release: resolve }
  const hold = async <T>(answer: T): Promise<T> => {
    seen.now += 1
    seen.most = Math.max(seen.most, seen.now)
    await promise
    seen.now -= 1
    return answer
  }
  return { seen, hold }
}

async function start(folder: TempFolder, service: Partial<KmsService> = {}) {
  const events = new RecordedEvents()
  const time = { shift: 0 }
  const server = await startGrpcServer({
    socket: { path: folder.at('kms.sock'), mode: 0o600 },
    service: {
      status: () => KEY_ID,
      encrypt: ({ plaintext }) =>
        Promise.resolve({ ciphertext: plaintext, keyId: KEY_ID, annotations: {} }),
      decrypt: ({ ciphertext }) => Promise.resolve(ciphertext),
      ...service,
    },
    statusVersion: 'v2',
    runtimeVersion: '1.2.3',
    requestTimeoutMs: REQUEST_TIMEOUT_MS,
    drainMs: 0,
    clock: { ...systemClock, monotonic: () => performance.now() + time.shift },
    events,
  })
  const good = connectKms(server.path, { timeoutMs: PATIENCE_MS })
  await good.v2.status()
  const hostile: HostileConnection[] = []
  return {
    good,
    time,
    path: server.path,
    rebound: () => events.notices().includes('socket_rebound'),
    told: () => events.noticesOf('clients_limited').map(({ message: text }) => text),
    async connect(count: number, habits = {}): Promise<HostileConnection[]> {
      const all: HostileConnection[] = []
      for (let at = 0; at < count; at += 1) {
        const one = await HostileConnection.open(server.path, habits)
        if (one !== undefined) all.push(one)
      }
      hostile.push(...all)
      return all
    },
    async [Symbol.asyncDispose]() {
      for (const each of hostile) each.close()
      good.close()
      await server.close()
    },
  }
}

const openIn = (all: readonly HostileConnection[]) => all.filter(({ isOpen }) => isOpen)
const openOf = (all: readonly HostileConnection[]) => openIn(all).length

const call =
  (method: string, body: Buffer, end = true) =>
  (stream: number) =>
    Buffer.concat([headers(stream, grpcHeaders(method)), data(stream, body, end)])
const status = call('Status', STATUS)
const half = (bytes: number, of: number) =>
  call('Encrypt', message(Buffer.alloc(bytes), { length: of }), false)

const takenBack = (stream: number) =>
  Buffer.concat([headers(stream, grpcHeaders('Encrypt')), reset(stream)])

/** So many requests on each, in one write. */
async function ask(
  all: readonly HostileConnection[],
  count: number,
  bytesOf: (stream: number) => Buffer,
): Promise<void> {
  for (const each of all) {
    await each.send(Buffer.concat(Array.from({ length: count }, () => bytesOf(each.nextStream()))))
  }
}

/** Connections that were answered, and so may ask as much as an API server. */
async function served(
  one: Awaited<ReturnType<typeof start>>,
  count: number,
  habits = {},
): Promise<HostileConnection[]> {
  const all: HostileConnection[] = []
  for (let at = 0; at < count; at += 1) {
    const [each] = await one.connect(1, habits)
    if (each === undefined) throw new Error('It was not taken')
    let asked = 0
    await until('it is allowed more', async () => {
      if (each.answers < asked) return false
      if (each.settings > 1) return true
      asked += 1
      await ask([each], 1, status)
      return false
    })
    all.push(each)
  }
  return all
}

async function asks(good: KmsClient, count: number): Promise<void> {
  const made = await Promise.all(
    Array.from({ length: count }, (_, at) => good.v2.encrypt({ plaintext: SEED, uid: `${at}` })),
  )
  assert.is(made.length, count)
}

test('of connections that were never answered the oldest are closed, and a new client is served', async () => {
  await using folder = await tempFolder()
  await using one = await start(folder)

  const idle = await one.connect(MAX_CONNECTIONS + 20)
  await until('those above the limit are closed', () => openOf(idle) === MAX_CONNECTIONS - 1)

  assert.ok(idle.slice(21).every(({ isOpen }) => isOpen))
  await asks(one.good, 50)
  const late = connectKms(one.path, { timeoutMs: PATIENCE_MS })
  assert.is((await late.v2.status()).keyId, KEY_ID)
  late.close()
})

test('of connections that were answered the one that was idle for longest is closed, and one that is busy is not', async () => {
  await using folder = await tempFolder()
  const { seen, hold } = held()
  await using one = await start(folder, {
    encrypt: ({ plaintext }) => hold({ ciphertext: plaintext, keyId: KEY_ID, annotations: {} }),
  })
  const busy = one.good.v2.encrypt({ plaintext: SEED, uid: 'busy' })
  await until('it is under way', () => seen.now === 1)

  const all = await served(one, MAX_CONNECTIONS + 20)
  await until('those above the limit are closed', () => openOf(all) === MAX_CONNECTIONS - 1)

  assert.ok(all.slice(21).every(({ isOpen }) => isOpen))
  seen.release()
  assert.is((await busy).keyId, KEY_ID)
})

test('neither strangers nor those that were answered can take all places', async () => {
  await using folder = await tempFolder()
  await using one = await start(folder)
  const known = await served(one, MAX_CONNECTIONS)
  assert.is(openOf(known), MAX_CONNECTIONS)

  const strangers = await one.connect(2 * MAX_STRANGERS)
  await until('the oldest strangers are closed', () => openOf(strangers) === MAX_STRANGERS)

  assert.ok(strangers.slice(-MAX_STRANGERS).every(({ isOpen }) => isOpen))
  assert.is(openOf(known), MAX_CONNECTIONS - MAX_STRANGERS)
})

test('of those that were answered one with a request that it leaves unfinished is as idle as any', async () => {
  await using folder = await tempFolder()
  await using one = await start(folder)
  const [left] = await served(one, 1)
  if (left === undefined) throw new Error('It was not taken')
  await ask([left], 1, half(0, 10))

  await served(one, MAX_CONNECTIONS)

  await until('it is closed', () => !left.isOpen)
})

test('an API server whose idle connection was closed is served over a new one [T12]', async () => {
  await using folder = await tempFolder()
  await using one = await start(folder)
  await served(one, MAX_CONNECTIONS)
  await until('its connection is closed', () => one.told().length === 1)

  await asks(one.good, 100)
})

test('a connection has few requests at once until it was answered, and then as many as an API server', async () => {
  await using folder = await tempFolder()
  const { seen, hold } = held()
  await using one = await start(folder, {
    encrypt: ({ plaintext }) => hold({ ciphertext: plaintext, keyId: KEY_ID, annotations: {} }),
  })
  const [fresh] = await one.connect(1)
  if (fresh === undefined) throw new Error('It was not taken')

  await ask([fresh], 200, call('Encrypt', ENCRYPT))
  await until('the rest is refused', () => fresh.resets === 200 - FEW_STREAMS)
  assert.is(seen.most, FEW_STREAMS)
  const asked = asks(one.good, 1_000)
  await until('so many are under way', () => seen.now === FEW_STREAMS + MANY_STREAMS)
  seen.release()

  await asked
  assert.equal([seen.most, one.told()], [FEW_STREAMS + MANY_STREAMS, []])
})

test('many clients share what is taken at once, and none of them is refused anything', async () => {
  await using folder = await tempFolder()
  const { seen, hold } = held()
  await using one = await start(folder, {
    encrypt: ({ plaintext }) => hold({ ciphertext: plaintext, keyId: KEY_ID, annotations: {} }),
  })
  const others = Array.from({ length: 40 }, () => connectKms(one.path, { timeoutMs: PATIENCE_MS }))
  for (const other of others) await other.v2.status()

  const asked = others.map((other) => asks(other, 64))
  await until('each has its share', () => seen.now >= 40 * SHARE_OF_40)
  asked.push(asks(one.good, 500))
  await until('so has another', () => seen.now === 41 * SHARE_OF_40)
  seen.release()

  await Promise.all(asked)
  for (const other of others) other.close()
  assert.ok(seen.most <= MAX_STREAMS, `${seen.most} at once`)
  assert.equal(one.told(), [])
})

test('what requests hold that are not finished is bounded', async () => {
  await using folder = await tempFolder()
  await using one = await start(folder)
  const all = await served(one, 40)

  await ask(all, 1, half(60_000, 120_000))
  await until('some are closed', () => openOf(all) * 60_000 <= MAX_UNFINISHED_BYTES)

  await asks(one.good, 100)
  assert.match(one.told()[0] ?? '', /more bytes of requests that it does not finish/)
})

test('a header list of more than 8 kB costs its connection, and one of 6 kB is taken', async () => {
  await using folder = await tempFolder()
  await using one = await start(folder)
  const [client] = await one.connect(1)
  if (client === undefined) throw new Error('It was not taken')
  const withHeader = (bytes: number) => (stream: number) =>
    Buffer.concat([
      headers(stream, grpcHeaders('Status', header('x-large', 'a'.repeat(bytes)))),
      data(stream, STATUS, true),
    ])

  await ask([client], 1, withHeader(6_000))
  await until('it is answered', () => client.answers > 0)
  await ask([client], 1, withHeader(9_000))

  await until('it is closed', () => !client.isOpen)
  await asks(one.good, 1)
})

test('some compressed requests are taken at once, and more cost their connection', async () => {
  await using folder = await tempFolder()
  await using one = await start(folder)
  const [client] = await served(one, 1)
  if (client === undefined) throw new Error('It was not taken')
  const block = grpcHeaders('Encrypt', header('grpc-encoding', 'gzip'))
  const { answers } = client

  await ask([client], MAX_COMPRESSED, (stream) => headers(stream, block))
  await ask([client], 1, status)
  await until('it is answered', () => client.answers > answers)
  await ask([client], 1, (stream) => headers(stream, block))

  await until('it is closed', () => !client.isOpen)
  assert.match(one.told()[0] ?? '', /more compressed requests/)
})

test('requests that are taken back at once cost their connection, and those of a passed deadline do not [T19]', async () => {
  await using folder = await tempFolder()
  await using one = await start(folder)
  const [client] = await served(one, 1)
  if (client === undefined) throw new Error('It was not taken')

  for (let sent = 0; sent < MANY_STREAMS; sent += FEW_STREAMS) {
    await ask([client], FEW_STREAMS, takenBack)
    const { answers } = client
    await ask([client], 1, status)
    await until('it is answered', () => client.answers > answers)
  }
  assert.equal(one.told(), [])
  await until('it is closed', async () => {
    await ask([client], FEW_STREAMS, takenBack)
    return !client.isOpen
  })

  assert.match(one.told()[0] ?? '', /more requests that it takes back at once/)
  await asks(one.good, 1)
})

test('who never might have many requests at once may take back fewer', async () => {
  await using folder = await tempFolder()
  await using one = await start(folder)
  const all = await served(one, 40)
  const [first] = all
  const last = all.at(-1)
  const [stranger] = await one.connect(1)
  if (!(first && last && stranger)) throw new Error('One was not taken')

  await until('the last and the stranger are closed', async () => {
    await ask(openIn([first, last, stranger]), FEW_STREAMS, takenBack)
    return !(last.isOpen || stranger.isOpen)
  })

  assert.ok(first.isOpen, 'it came when there were few')
  const { answers } = first
  await ask([first], 1, status)
  await until('it is answered', () => first.answers > answers)
})

test('what a connection has under way is called off when it is closed, and nobody waits for it', async () => {
  await using folder = await tempFolder()
  const signals: AbortSignal[] = []
  const encrypt: KmsService['encrypt'] = (_, { signal }) => {
    signals.push(signal)
    return new Promise(() => undefined)
  }
  await using one = await start(folder, { encrypt })
  const [client] = await served(one, 1)
  if (client === undefined) throw new Error('It was not taken')
  await ask([client], 1, call('Encrypt', ENCRYPT))
  await until('it is under way', () => signals.length === 1)

  const block = grpcHeaders('Status', header('x-large', 'a'.repeat(MAX_HEADER_BYTES)))
  await ask([client], 1, (stream) => headers(stream, block))

  await until('it is called off', () => signals[0]?.aborted)
})

test('whoever is ended while the server still reads what it sent is ended alone', async () => {
  await using folder = await tempFolder()
  await using one = await start(folder)
  const tooLarge = grpcHeaders('Status', header('x-large', 'a'.repeat(MAX_HEADER_BYTES)))
  const sent = Buffer.concat([headers(1, tooLarge), call('Encrypt', ENCRYPT)(3)])

  const clients = await one.connect(ENDED_AT_ONCE)
  for (const client of clients) await client.send(sent)

  await until('they are ended', () => openOf(clients) === 0)
  assert.is((await one.good.v2.status()).healthz, 'ok')
})

test('a socket that is made again leaves what is open and under way, and has the limits of before', async () => {
  await using folder = await tempFolder()
  const { seen, hold } = held()
  await using one = await start(folder, {
    encrypt: ({ plaintext }) => hold({ ciphertext: plaintext, keyId: KEY_ID, annotations: {} }),
  })
  const underWay = one.good.v2.encrypt({ plaintext: SEED, uid: 'before' })
  await until('it is under way', () => seen.now === 1)
  const before = await one.connect(MAX_STRANGERS)

  await rm(one.path)
  await until('it is made again', () => one.rebound())
  const after = await one.connect(MAX_STRANGERS)
  await served(one, 1)
  seen.release()

  assert.is((await underWay).keyId, KEY_ID)
  await until('those above the limit are closed', () => openOf([...before, ...after]) === 62)
})

test('a flood is told once a minute', async () => {
  await using folder = await tempFolder()
  await using one = await start(folder)
  const flood = async () => {
    const idle = await one.connect(2 * MAX_CONNECTIONS)
    await until('some are closed', () => openOf(idle) < MAX_CONNECTIONS)
  }

  await flood()
  await flood()
  assert.is(one.told().length, 1)
  one.time.shift += 60_000
  await flood()

  assert.is(one.told().length, 2)
})

test('10,000 requests of an API server, and those of seven more beside it, are refused nothing [T10]', async () => {
  await using folder = await tempFolder()
  await using one = await start(folder)
  const others = Array.from({ length: 7 }, () => connectKms(one.path, { timeoutMs: PATIENCE_MS }))

  await Promise.all([asks(one.good, 10_000), ...others.map((other) => asks(other, 500))])

  for (const other of others) other.close()
  assert.equal(one.told(), [])
})

test.run()
