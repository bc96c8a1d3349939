/** An HTTP proxy that makes tunnels (CONNECT), or refuses to; with or without TLS of its own. @module */

import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import type { CertificateFiles } from '../../_lib/remote/certificates.ts'

interface TunnelProxy extends AsyncDisposable {
  readonly url: string
  /** The target and the credentials of each tunnel that was asked for. */
  readonly asked: readonly { readonly target: string; readonly token: string | undefined }[]
  /** From now on tunnels are refused with this status; `silent` lets them wait. */
  refusal: number | 'silent' | undefined
}

/** @param tls its certificate, and those above it that it sends too */
export async function startTunnelProxy(
  tls?: readonly [CertificateFiles, ...CertificateFiles[]],
): Promise<TunnelProxy> {
  const asked: { target: string; token: string | undefined }[] = []
  const sockets = new Set<Socket>()
  const server = tls === undefined ? createServer() : createTlsServer(await chainOf(tls))
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.on('connect', ({ url = '', headers }: IncomingMessage, socket: Socket) => {
    asked.push({ target: url, token: headers['proxy-authorization'] })
    socket.on('error', () => socket.destroy())
    if (proxy.refusal === 'silent') return
    if (proxy.refusal === undefined) passOn(url, socket)
    else socket.end(`HTTP/1.1 ${proxy.refusal} No\r\ncontent-length: 7\r\n\r\nplanted`)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const proxy: TunnelProxy = {
    url: `http${tls === undefined ? '' : 's'}://127.0.0.1:${port}`,
    asked,
    refusal: undefined,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
  return proxy
}

function passOn(target: string, socket: Socket): void {
  const [host = '', port = ''] = target.split(':')
  const onward = connect(Number(port), host, () => {
    socket.write('HTTP/1.1 200 OK\r\n\r\n')
    onward.pipe(socket).pipe(onward)
  })
  onward.on('error', () => socket.destroy())
  socket.on('close', () => onward.destroy())
}

async function chainOf([own, ...above]: readonly [CertificateFiles, ...CertificateFiles[]]) {
  const chain = await Promise.all([own, ...above].map(({ cert }) => readFile(cert)))
  return { cert: Buffer.concat(chain), key: await readFile(own.key) }
}
