/**
 * Kept connections to a node that is gone, sealed or silent; behind a balancer on loopback.
 *
 * @module
 */

import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import * as assert from 'uvu/assert'
import { withinLimit } from '../../../src/base/call.ts'
import { systemClock } from '../../../src/base/clock.ts'
import { toKmsError } from '../../../src/base/errors.ts'
import { HttpClient } from '../../../src/remote/http/client.ts'
import { Transport } from '../../../src/remote/http/transport.ts'
import { RecordedEvents } from '../../_lib/events.ts'
import { figure } from '../../_lib/figure.ts'
import { startBalancer } from '../../_lib/remote/balancer.ts'
import { suite } from '../../_lib/uvu.ts'

const LIMIT_MS = 2_500
const OK = 200
const FOR_GOOD = 300_000
/** As many as a pool has. */
const CONNECTIONS = 8

const test = suite('remote/http/connections', () => ({}))

/** A server whose behaviour can be changed, and that counts. */
async function startService() {
  const held: ServerResponse[] = []
  const service = {
    status: OK,
    behaviour: 'answers' as 'answers' | 'silent' | number,
    asked: 0,
    address: '',
    /** Answers all that wait. */
    letGo() {
      for (const response of held.splice(0)) response.end('{}')
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
  const server = createServer({ keepAliveTimeout: FOR_GOOD }, (_request, response) => {
    service.asked += 1
    response.statusCode = service.status
    if (service.behaviour === 'answers') response.end('{}')
    else if (service.behaviour === 'silent') held.push(response)
    else setTimeout(() => response.end('{}'), service.behaviour)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  service.address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return service
}

async function setup(clock = systemClock) {
  const [one, two] = [await startService(), await startService()]
  const balancer = await startBalancer(one.address)
  const transport = new Transport({ provider: 'v', tls: {}, clock, events: new RecordedEvents() })
  const http = new HttpClient(balancer.address, transport)
  return {
    one,
    two,
    balancer,
    http,
    /** The status, or the code of the failure. */
    ask(limitMs = LIMIT_MS, repeatable = true): Promise<number | string> {
      return withinLimit(systemClock, limitMs, async ({ signal }) => {
        const request = { method: 'POST', path: '/', headers: {}, body: '{}' } as const
        return (await http.send({ ...request, signal, repeatable })).status
      }).catch((error: unknown) => toKmsError(error).code)
    },
    async fillPool(): Promise<void> {
      one.behaviour = 100
      await Promise.all(Array.from({ length: CONNECTIONS }, () => this.ask()))
      one.behaviour = 'answers'
      assert.is(balancer.made, CONNECTIONS)
    },
    async [Symbol.asyncDispose]() {
      await transport.close()
      for (const each of [balancer, one, two]) await each[Symbol.asyncDispose]()
    },
  }
}

for (const status of [472, 474, 500, 502, 503, 530]) {
  test(`send() goes over a new connection after ${status}, and keeps none of those it had`, async () => {
    await using here = await setup()
    await here.fillPool()
    here.one.status = status
    here.balancer.target = here.two.address

    assert.is(await here.ask(), status)
    assert.is(await here.ask(), OK)
    assert.is(here.two.asked, 1)
  })
}

for (const status of [200, 400, 403, 404, 429]) {
  test(`send() keeps its connection after ${status}`, async () => {
    await using here = await setup()
    here.one.status = status
    await here.fillPool()
    for (let turn = 0; turn < 3; turn += 1) assert.is(await here.ask(), status)
    assert.is(here.balancer.made, CONNECTIONS)
  })
}

test('send() loses no request where the other end of all kept connections is gone without a word', async () => {
  await using here = await setup()
  await here.fillPool()
  here.balancer.target = here.two.address
  here.balancer.swallow()
  const start = performance.now()

  const first = await here.ask()
  const wellAfter = performance.now() - start
  const others = []
  for (let turn = 0; turn < CONNECTIONS; turn += 1) others.push(await here.ask())

  const failed = [first, ...others].filter((outcome) => outcome !== OK).length
  figure(
    `${CONNECTIONS} kept connections to a host that is gone: ${failed} failed of ${others.length + 1} requests, well after ${Math.round(wellAfter)} ms`,
  )
  assert.is(failed, 0)
})

test('send() loses none of the requests that are under way at once when a host freezes', async () => {
  await using here = await setup()
  await here.fillPool()
  here.balancer.target = here.two.address
  here.balancer.swallow()

  const outcomes = await Promise.all(Array.from({ length: CONNECTIONS * 2 }, () => here.ask()))

  assert.equal(new Set(outcomes), new Set([OK]))
})

test('send() with less time than a second look needs loses one request and no more', async () => {
  await using here = await setup()
  await here.fillPool()
  here.balancer.target = here.two.address
  here.balancer.swallow()

  assert.is(await here.ask(300), 'timeout')
  assert.is(await here.ask(300), OK)
})

test('send() asks a service that is away for everybody once a request, and a silent one so too', async () => {
  await using here = await setup()
  await here.ask()
  here.one.status = 503
  here.one.asked = 0
  for (let turn = 0; turn < 10; turn += 1) assert.is(await here.ask(), 503)
  assert.is(here.one.asked, 10)

  here.one.status = OK
  await here.ask()
  here.one.behaviour = 'silent'
  here.one.asked = 0
  // The first has a kept connection, beside which a new one is tried; the others have none.
  for (let turn = 0; turn < 3; turn += 1) assert.is(await here.ask(1_500), 'timeout')
  assert.is(here.one.asked, 4)
  here.one.letGo()
})

test('send() asks a service that became slow twice at most once, and not for as long as it is slow', async () => {
  await using here = await setup()
  await here.ask()
  here.one.behaviour = 1_300
  here.one.asked = 0

  for (let turn = 0; turn < 3; turn += 1) assert.is(await here.ask(), OK)

  assert.is(here.one.asked, 4)
})

test('send() sends once what must not be sent twice, and the next request over a new connection', async () => {
  await using here = await setup()
  await here.fillPool()
  here.one.behaviour = 'silent'
  here.one.asked = 0
  here.balancer.target = here.two.address

  assert.is(await here.ask(1_500, false), 'timeout')
  assert.is(here.one.asked + here.two.asked, 1)
  assert.is(await here.ask(1_500, false), OK)
  here.one.letGo()
})

test('send() makes its connections anew after five minutes, so that a name is looked up again', async () => {
  let ahead = 0
  const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + ahead }
  await using here = await setup(clock)
  await here.fillPool()
  here.balancer.target = here.two.address

  ahead = 290_000
  assert.is(await here.ask(), OK)
  assert.is(here.two.asked, 0)
  ahead = 301_000
  assert.is(await here.ask(), OK)
  assert.is(here.two.asked, 1)
})

test.run()
