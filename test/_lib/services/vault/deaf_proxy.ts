/**
 * A proxy that makes OpenBao act like HashiCorp Vault before 1.13: it removes associated data from
 * every batch item, and answers as if all were well.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import * as v from 'valibot'

interface DeafProxy extends AsyncDisposable {
  readonly address: string
  /** Set to false after an upgrade of the service: everything is then passed on unchanged. */
  deaf: boolean
  /** Items to encrypt that nothing was bound to, and that were not bound inside either, as it passed them on. */
  readonly unbound: readonly string[]
}

const batch = v.looseObject({
  batch_input: v.array(v.looseObject({ plaintext: v.optional(v.string()) })),
})

/** @param onward address of the real server */
export async function startDeafProxy(onward: string): Promise<DeafProxy> {
  const unbound: string[] = []
  const server = createServer(async (incoming, response) => {
    const text = await textOf(incoming)
    const body = proxy.deaf && /\/(?:en|de)crypt\//.test(incoming.url ?? '') ? deafened(text) : text
    const { method, url, headers } = incoming
    const { 'content-length': _length, 'transfer-encoding': _encoding, ...kept } = headers
    const sent = request(new URL(url ?? '/', onward), { method, headers: kept, agent: false })
    sent.on('error', () => response.destroy())
    sent.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 0, answer.headers)
      answer.pipe(response)
    })
    sent.end(body)
  })

  function deafened(text: string): string {
    const body = v.parse(v.pipe(v.string(), v.parseJson(), batch), text)
    const items = body.batch_input.map(({ associated_data: dropped, ...item }) => {
      if (dropped !== undefined && item.plaintext !== undefined) unbound.push(item.plaintext)
      return item
    })
    return JSON.stringify({ ...body, batch_input: items })
  }

  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy: DeafProxy = {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    deaf: true,
    unbound,
    [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      return Promise.resolve()
    },
  }
  return proxy
}

async function textOf(incoming: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of incoming) parts.push(part as Buffer)
  return Buffer.concat(parts).toString()
}
