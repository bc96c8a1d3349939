/** Traces on their way to a collector that takes, is gone, hangs, refuses, lies or answers without end. @module */

import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import type { Clock } from '../../src/base/clock.ts'
import { systemClock } from '../../src/base/clock.ts'
import { newRecord } from '../../src/base/request_record.ts'
import { tracesConfig } from '../../src/config/traces.ts'
import { startTraces } from '../../src/plugin/traces.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { FakeClock } from '../_lib/fake_clock.ts'
import { freePort } from '../_lib/free_port.ts'
import { answers, fakeCollector, TAKES } from '../_lib/observe/fake_collector.ts'
import { attributesOf } from '../_lib/observe/otlp.ts'
import { type SpanOutcome, spansCounted } from '../_lib/observe/span_counts.ts'
import { makeAuthority, makeCertificate } from '../_lib/remote/certificates.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const UID = 'aaaaaaaa-0000-4000-8000-000000000001'
const INTERVAL_MS = 5_000
/** More than all attempts at a batch take. */
const LONG_MS = 60_000

const test = suite('plugin/traces', () => ({}))

function tracing(config: object, clock: Clock = new FakeClock()) {
  const events = new RecordedEvents()
  const traces = startTraces(v.parse(tracesConfig, config), { clock, events })
  const count = (outcome: SpanOutcome) => spansCounted(events, outcome)
  return {
    events,
    traces,
    counts: () => [count('sent'), count('dropped')],
    request(uid: string | undefined = UID) {
      const record = newRecord(undefined)
      record.uid = uid
      traces.emit({
        type: 'request',
        api: 'v2',
        method: 'Encrypt',
        uid,
        code: 'ok',
        durationMs: 1,
        record,
      })
    },
    async [Symbol.asyncDispose]() {
      const closed = traces.close()
      if (clock instanceof FakeClock) await clock.advance(LONG_MS)
      await closed
    },
  }
}

/** A server below HTTP. */
async function listening(connected: (socket: Socket) => void) {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    connected(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    endpoint: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

test('a strict collector takes them, with who sent them and a token that is read anew', async () => {
  await using folder = await tempFolder()
  await using collector = await fakeCollector()
  const tokenFile = folder.at('token')
  await writeFile(tokenFile, 'first\n')
  const clock = new FakeClock()
  await using one = tracing({ endpoint: `${collector.endpoint}/`, tokenFile }, clock)

  one.request()
  await clock.advance(INTERVAL_MS)
  await writeFile(tokenFile, 'second\n')
  one.request(undefined)
  await clock.advance(INTERVAL_MS)

  assert.equal(collector.problems, [])
  assert.equal(one.counts(), [2, 0])
  assert.equal(collector.authorizations, ['Bearer first', 'Bearer second'])
  assert.is(collector.connections(), 1)
  const [span] = collector.requests[0] ?? []
  assert.is(span?.traceId, UID.replaceAll('-', ''))
  assert.is(attributesOf(span ?? {})['trousseau.uid'], UID)
  assert.equal(one.events.notices(), [])
})

test('a path of the endpoint is the collector’s, with or without /v1/traces at its end', () => {
  for (const end of ['/otlp', '/otlp/', '/otlp/v1/traces', '/otlp/v1/traces/']) {
    const { endpoint } = v.parse(tracesConfig, { endpoint: `http://127.0.0.1:4318${end}` })
    assert.is(endpoint, 'http://127.0.0.1:4318/otlp')
  }
})

for (const [what, behaviour] of [
  ['nothing', answers(200, '')],
  ['202', answers(202, {})],
  ['a partial success of nothing', answers(200, { partialSuccess: {} })],
  ['null', answers(200, { partialSuccess: null, more: 1 })],
  ['a remark', answers(200, { partialSuccess: { rejectedSpans: '0', errorMessage: 'PLANTED' } })],
] as const) {
  test(`an answer of ${what} is success`, async () => {
    await using collector = await fakeCollector(behaviour)
    const clock = new FakeClock()
    await using one = tracing({ endpoint: collector.endpoint }, clock)
    one.request()
    await clock.advance(LONG_MS)

    assert.equal(one.counts(), [1, 0])
    assert.equal(one.events.notices(), [])
    assert.is(collector.requests.length, 1)
  })
}

for (const [what, behaviour, why] of [
  ['400', answers(400, { message: 'PLANTED' }), 'answered with 400'],
  ['401', answers(401, 'PLANTED'), 'answered with 401'],
  ['413', answers(413), 'answered with 413'],
  ['500', answers(500), 'answered with 500'],
  ['307', answers(307, {}, { location: 'http://127.0.0.1:1/PLANTED' }), 'answered with 307'],
  ['HTML', answers(200, '<html>PLANTED'), 'something other than JSON'],
  ['a lie', answers(200, { partialSuccess: { rejectedSpans: 'PLANTED' } }), 'unexpected body'],
  ['deep JSON', answers(200, '['.repeat(100_000)), 'nests deeper'],
  [
    'partial success',
    answers(200, { partialSuccess: { rejectedSpans: '1', errorMessage: 'PLANTED' } }),
    'it took 0 of 1',
  ],
  [
    'partial success in a number',
    answers(200, { partialSuccess: { rejectedSpans: 1 } }),
    'it took 0 of 1',
  ],
  [
    'an answer without end',
    (response) => {
      const more = () => {
        while (response.write(Buffer.alloc(65_536, 0x20)));
        response.once('drain', more)
      }
      more()
    },
    'longer than',
  ],
] as const satisfies readonly (readonly [string, Parameters<typeof fakeCollector>[0], string])[]) {
  test(`${what} is told once, dropped and not sent again`, async () => {
    await using collector = await fakeCollector(behaviour)
    const clock = new FakeClock()
    await using one = tracing({ endpoint: collector.endpoint }, clock)
    for (let times = 1; times <= 2; times += 1) {
      one.request()
      await clock.advance(LONG_MS)
      await until('it was dropped', () => one.counts()[1] === times)
    }

    assert.equal(one.counts(), [0, 2])
    assert.is(collector.requests.length, 2)
    assert.equal(one.events.notices(), ['traces_failed'])
    assert.match(one.events.noticesOf('traces_failed')[0]?.message ?? '', why)
    assert.not.match(JSON.stringify(one.events.all), 'PLANTED')
  })
}

for (const status of [429, 502, 503, 504]) {
  test(`${status} is tried again, no earlier than it asks`, async () => {
    await using collector = await fakeCollector((response, number) =>
      (number === 1 ? answers(status, {}, { 'retry-after': '7' }) : TAKES)(response, number),
    )
    const clock = new FakeClock()
    await using one = tracing({ endpoint: collector.endpoint }, clock)
    one.request()
    await clock.advance(INTERVAL_MS + 7_000)
    assert.is(collector.requests.length, 1)
    await clock.advance(1_500)

    assert.is(collector.requests.length, 2)
    assert.equal(collector.requests[1], collector.requests[0])
    assert.equal(one.counts(), [1, 0])
    assert.equal(one.events.notices(), [])
  })
}

test('a day in Retry-After holds up half a minute, and without end it is given up after four times', async () => {
  await using collector = await fakeCollector(answers(503, {}, { 'retry-after': '86400' }))
  const clock = new FakeClock()
  await using one = tracing({ endpoint: collector.endpoint }, clock)
  one.request()
  await clock.advance(INTERVAL_MS + 32_000)
  assert.is(collector.requests.length, 2)
  collector.behave(answers(503))
  one.request()
  await clock.advance(2 * LONG_MS)

  assert.equal(one.counts(), [0, 2])
  assert.equal(one.events.notices(), ['traces_failed'])
  const many = collector.requests.length
  assert.ok(many <= 8, String(many))
})

test('a collector that is gone is told of once, with its address', async () => {
  const endpoint = `http://127.0.0.1:${await freePort()}`
  const clock = new FakeClock()
  await using one = tracing({ endpoint }, clock)
  one.request()
  await clock.advance(LONG_MS)
  one.request()
  await clock.advance(LONG_MS)

  assert.equal(one.counts(), [0, 2])
  assert.equal(one.events.notices(), ['traces_failed'])
  const { message = '' } = one.events.noticesOf('traces_failed')[0] ?? {}
  assert.match(message, `POST /v1/traces got no answer from ${endpoint}: `)
})

test('one that ends every connection is asked four times for a batch', async () => {
  let connections = 0
  await using server = await listening((socket) => {
    connections += 1
    socket.destroy()
  })
  const clock = new FakeClock()
  await using one = tracing({ endpoint: server.endpoint }, clock)
  one.request()
  await clock.advance(LONG_MS)

  assert.is(connections, 4)
  assert.equal(one.counts(), [0, 1])
})

test('one that hangs is given up after ten seconds, and never asked twice at a time', async () => {
  await using collector = await fakeCollector(() => undefined)
  // It waits for no request.
  const clock = new FakeClock({ quick: true })
  await using one = tracing({ endpoint: collector.endpoint }, clock)
  one.request()
  await clock.advance(INTERVAL_MS)
  await until('it is asked', () => collector.requests.length === 1)
  for (let times = 0; times < 3_000; times += 1) one.request()
  await clock.advance(9_999)
  assert.equal(one.counts(), [0, 3_001 - 2_048])
  assert.is(collector.requests.length, 1)
  collector.behave(TAKES)
  await clock.advance(1)
  await until('what waited is sent', () => one.counts()[0] === 1_536)

  assert.is(one.counts()[1], 3_001 - 2_048 + 1)
  assert.equal(one.events.notices(), ['traces_failed'])
  assert.match(one.events.noticesOf('traces_failed')[0]?.message ?? '', 'Gave up after 10000 ms')
})

test('close() sends what waits', async () => {
  await using collector = await fakeCollector()
  const one = tracing({ endpoint: collector.endpoint }, systemClock)
  one.request()
  await one.traces.close()

  assert.is(collector.requests.length, 1)
  assert.equal(one.counts(), [1, 0])
})

test('close() at a collector that takes connections and nothing more is through all the same', async () => {
  await using server = await listening(() => undefined)
  const one = tracing({ endpoint: server.endpoint }, systemClock)
  one.request()
  await one.traces.close()

  assert.equal(one.counts(), [0, 1])
})

test('over TLS with an authority of its own, and not with another', async () => {
  await using folder = await tempFolder()
  const authority = await makeAuthority(folder.path, 'collectors')
  const other = await makeAuthority(folder.path, 'others')
  const server = await makeCertificate(folder.path, 'collector', authority)
  await using collector = await fakeCollector(TAKES, server)
  const clock = new FakeClock()
  await using one = tracing(
    { endpoint: collector.endpoint, tls: { caFile: authority.cert } },
    clock,
  )
  await using two = tracing({ endpoint: collector.endpoint, tls: { caFile: other.cert } }, clock)
  one.request()
  two.request()
  await clock.advance(LONG_MS)

  assert.equal(
    [one.counts(), two.counts()],
    [
      [1, 0],
      [0, 1],
    ],
  )
  assert.equal(collector.problems, [])
})

test('a token that cannot be read is told by its file', async () => {
  await using folder = await tempFolder()
  await using collector = await fakeCollector()
  const clock = new FakeClock()
  const config = { endpoint: collector.endpoint, tokenFile: folder.at('nowhere') }
  await using one = tracing(config, clock)
  one.request()
  await clock.advance(LONG_MS)

  assert.is(collector.requests.length, 0)
  assert.match(one.events.noticesOf('traces_failed')[0]?.message ?? '', 'traces.tokenFile')
})

test.run()
