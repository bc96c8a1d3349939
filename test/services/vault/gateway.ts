/**
 * A reverse proxy that serves a service under a path, as an ingress does, without knowing the
 * service.
 *
 * @module
 */

import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

interface GatewayOptions {
  /** Begins with `/`. Whatever is not below it gets a page. */
  readonly path: string
  /** `http://host:port` of the service. */
  readonly target: string
  /** Added to what is passed on. */
  readonly headers?: Readonly<Record<string, string>>
  /** What becomes of the service's redirects; passed on as they are where absent. */
  readonly rewrite?: (location: string) => string
}

export interface Gateway extends AsyncDisposable {
  readonly origin: string
  /** With the path. */
  readonly address: string
  /** Of every request, with the path. */
  readonly paths: readonly string[]
}

export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const paths: string[] = []
  const server = createServer((incoming, response) => {
    const { url = '' } = incoming
    paths.push(url)
    if (url.startsWith(`${options.path}/`)) passOn(incoming, response, options)
    else response.writeHead(404, { 'content-type': 'text/html' }).end('<h1>default backend</h1>')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    origin,
    address: `${origin}${options.path}`,
    paths,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

function passOn(
  incoming: IncomingMessage,
  response: ServerResponse,
  { path, target, headers, rewrite = (location) => location }: GatewayOptions,
): void {
  const url = `${target}${(incoming.url ?? '').slice(path.length)}`
  const onward = request(
    url,
    { method: incoming.method, headers: { ...incoming.headers, ...headers }, agent: false },
    (answer) => {
      const { location } = answer.headers
      const moved = location === undefined ? {} : { location: rewrite(location) }
      response.writeHead(answer.statusCode ?? 0, { ...answer.headers, ...moved })
      answer.pipe(response)
    },
  )
  onward.on('error', () => response.writeHead(502).end('<h1>bad gateway</h1>'))
  incoming.pipe(onward)
}
