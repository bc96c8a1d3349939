import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import * as assert from 'uvu/assert'
import { startAdmin } from '../../src/observe/admin.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { sceneOf } from '../_lib/observe/scenes.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

/** As in `src/observe/admin.ts`. */
const MAX_CONNECTIONS = 64
const SHARERS = 50
const asking = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`
const LAST = 'Connection: close\r\n'

const test = suite('observe/admin_limits', () => ({}))

async function start(path: string, metrics = () => Promise.resolve('metric 1\n')) {
  const server = await startAdmin({
    listen: { path },
    events: new RecordedEvents(),
    problem: () => undefined,
    of: 'admin',
    pages: {
      metrics: { text: metrics, contentType: 'text/plain' },
      statusz: { document: () => sceneOf('well') },
      checks: () => [],
    },
  })
  const opened: Socket[] = []
  return {
    async connect(): Promise<Socket> {
      const socket = connect(path)
      socket.on('error', () => undefined)
      opened.push(socket)
      await once(socket, 'connect')
      return socket
    },
    async [Symbol.asyncDispose]() {
      for (const socket of opened) socket.destroy()
      await server.close()
    },
  }
}

test('of too many connections the oldest are closed, and a probe is answered', async () => {
  await using folder = await tempFolder()
  await using admin = await start(folder.at('admin.sock'))
  const closed = new Set<number>()
  let told = ''
  for (let at = 0; at < MAX_CONNECTIONS + 50; at += 1) {
    const socket = await admin.connect()
    socket.on('data', (bytes) => {
      told += bytes
    })
    socket.once('close', () => closed.add(at))
  }

  await until('the oldest are closed', () => closed.size >= 50)
  const probe = await admin.connect()
  probe.write(asking('/livez', LAST))

  assert.match(await text(probe), /^HTTP\/1\.1 200 /)
  assert.ok(closed.has(0) && closed.has(49))
  // Whom a time limit ends is told 408.
  assert.is(told, '')
})

test('whoever asks again before an answer is there is disconnected, after it nobody is', async () => {
  await using folder = await tempFolder()
  let made = 0
  let release = (): void => undefined
  const metrics = async () => {
    made += 1
    await new Promise<void>((resolve) => {
      release = resolve
    })
    return 'metric 1\n'
  }
  await using admin = await start(folder.at('admin.sock'), metrics)
  const greedy = await admin.connect()
  const modest = await admin.connect()

  greedy.write(asking('/metrics').repeat(100))
  await once(greedy.resume(), 'close')
  await until('it was asked', () => made === 1)
  release()
  modest.write(asking('/livez'))
  const [first] = await once(modest, 'data')
  modest.write(asking('/livez', LAST))

  assert.match(String(first), /^HTTP\/1\.1 200 /)
  assert.match(await text(modest), /^HTTP\/1\.1 200 /)
})

test('those who ask at once share a page, and whoever asks later has a new one', async () => {
  await using folder = await tempFolder()
  let made = 0
  const metrics = () => {
    made += 1
    return Promise.resolve(`metric ${made}\n`)
  }
  await using admin = await start(folder.at('admin.sock'), metrics)
  const many = await Promise.all(Array.from({ length: SHARERS }, () => admin.connect()))

  // The server takes a connection a turn, so that all must be there before.
  for (const each of many) each.write(asking('/livez'))
  await Promise.all(many.map((each) => once(each, 'data')))
  for (const each of many) each.write(asking('/metrics', LAST))
  const answers = await Promise.all(many.map((each) => text(each)))
  const before = made
  const late = await admin.connect()
  late.write(asking('/metrics', LAST))

  assert.ok(answers.every((answer) => answer.startsWith('HTTP/1.1 200 ')))
  assert.ok(before < SHARERS, `made ${before} times`)
  assert.match(await text(late), new RegExp(`metric ${before + 1}\n$`))
})

test.run()
