/** An HTTP server that passes requests on to another, counts them, and can be slow. @module */

import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'

export interface CountingProxy extends AsyncDisposable {
  readonly address: string
  readonly requests: number
  /** How long every answer is held back. */
  delayMs: number
}

export async function startCountingProxy(target: string): Promise<CountingProxy> {
  const agent = new Agent({ keepAlive: true })
  let requests = 0
  let delayMs = 0
  const pass = (incoming: IncomingMessage, answer: ServerResponse) => {
    requests += 1
    const { method, headers, url = '/' } = incoming
    const outgoing = request(new URL(url, target), { method, headers, agent }, (reply) => {
      const give = () => {
        answer.writeHead(reply.statusCode ?? 502, reply.headers)
        reply.pipe(answer)
      }
      if (delayMs === 0) give()
      else setTimeout(give, delayMs)
    })
    outgoing.on('error', () => answer.destroy())
    incoming.pipe(outgoing)
  }
  const server = createServer(pass).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('No port')
  return {
    address: `http://127.0.0.1:${address.port}`,
    get requests() {
      return requests
    },
    get delayMs() {
      return delayMs
    },
    set delayMs(ms) {
      delayMs = ms
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      agent.destroy()
      await closed
    },
  }
}
