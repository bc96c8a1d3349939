/** An HTTP proxy that remembers the ports from which it made requests, and can be slow. @module */

import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

export interface PlainProxy extends AsyncDisposable {
  readonly url: string
  /** From which it asked. */
  readonly ports: ReadonlySet<number | undefined>
  /** How long it keeps each request that it gets from now on. */
  delayMs: number
}

/** Passes on requests for http:// addresses, which need no tunnel. */
export async function startPlainProxy(): Promise<PlainProxy> {
  const ports = new Set<number | undefined>()
  const server = createServer(async (incoming, response) => {
    if (proxy.delayMs > 0) await pause(proxy.delayMs)
    const { method, headers, url = '' } = incoming
    const onward = request(url, { method, headers, agent: false }, (answer) => {
      response.writeHead(answer.statusCode ?? 0, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => response.destroy())
    onward.on('socket', (socket) => {
      socket.on('connect', () => ports.add((socket as Socket).localPort))
    })
    incoming.pipe(onward)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy: PlainProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ports,
    delayMs: 0,
    [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      return Promise.resolve()
    },
  }
  return proxy
}
