/**
 * A proxy in front of a key service, which makes it answer something else than it was asked.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, request } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Asked {
  readonly method: string
  /** With its query. */
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface Told {
  readonly status: number
  readonly body: string
  readonly headers?: Readonly<Record<string, string>>
}

/** What is answered in place of the truth. */
export type Lie = (told: Told, asked: Asked) => Told

export interface LyingProxy extends AsyncDisposable {
  readonly address: string
  /** Undefined to pass on the true answer. */
  lie: Lie | undefined
}

/** @param service its address, asked for with every request */
export async function startLyingProxy(service: () => string): Promise<LyingProxy> {
  const server = createServer(async (incoming, response) => {
    let body = ''
    for await (const chunk of incoming) body += String(chunk)
    const { method = '', url = '', headers } = incoming
    const asked = { method, path: url, headers, body }
    const told = await passOn(service(), asked).catch(() => undefined)
    if (told === undefined) {
      response.destroy()
      return
    }
    const { status, body: text, headers: more } = proxy.lie?.(told, asked) ?? told
    response.sendDate = false
    response.writeHead(status, { ...more }).end(text)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy: LyingProxy = {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    lie: undefined,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return proxy
}

/** The host stays the one that was asked for, since a signature may cover it. */
async function passOn(service: string, { method, path, headers, body }: Asked): Promise<Told> {
  const { 'content-length': _, 'transfer-encoding': __, ...kept } = headers
  const outgoing = request(`${service}${path}`, {
    method,
    headers: { ...kept, 'content-length': String(Buffer.byteLength(body)) },
    agent: false,
  })
  outgoing.end(body)
  const [answer] = await once(outgoing, 'response')
  let text = ''
  answer.setEncoding('utf8')
  for await (const chunk of answer) text += String(chunk)
  const told = Object.entries<unknown>(answer.headers).filter(
    ([name]) => !['content-length', 'transfer-encoding', 'connection'].includes(name),
  )
  return {
    status: answer.statusCode,
    body: text,
    headers: Object.fromEntries(told.map(([name, value]) => [name, String(value)])),
  }
}
