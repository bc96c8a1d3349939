/** The HTTP side of the fakes of Azure: servers on loopback that record, and fail on demand. @module */

import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Received {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

export interface Reply {
  readonly status: number
  /** JSON, unless it is text. */
  readonly body: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export interface FakeServer extends AsyncDisposable {
  readonly address: string
  readonly received: Received[]
  /** Answers the next so many requests with this, or leaves them hanging. */
  next(reply: Reply | 'hang', times?: number): void
}

/** @param now the service's clock in milliseconds since the epoch, which stands in `Date` */
export async function startServer(
  now: () => number,
  answer: (request: Received) => Reply,
): Promise<FakeServer> {
  const received: Received[] = []
  const canned: (Reply | 'hang')[] = []
  const server = createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request) text += String(chunk)
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://fake')
    const { method = '', headers } = request
    const one = { method, path: pathname, query: searchParams, headers, text }
    received.push(one)
    const reply = canned.shift() ?? answer(one)
    if (reply === 'hang') return
    response.sendDate = false
    response.writeHead(reply.status, {
      'content-type': 'application/json; charset=utf-8',
      date: new Date(now()).toUTCString(),
      ...reply.headers,
    })
    response.end(typeof reply.body === 'string' ? reply.body : JSON.stringify(reply.body))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    next(reply, times = 1) {
      for (let at = 0; at < times; at += 1) canned.push(reply)
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close').catch(() => undefined)
    },
  }
}
