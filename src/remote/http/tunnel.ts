/**
 * A way through an HTTP proxy (RFC 9110, CONNECT), so that nobody there reads along. What
 * the proxy refuses is told as its own, and not as the service's behind it.
 *
 * @module
 */

import type { Socket } from 'node:net'
import type { buildConnector } from 'undici'
import { NoConnectionError, reasonOf } from './reasons.ts'

interface TunnelOptions {
  readonly undici: typeof import('undici')
  /** Of the proxy. */
  readonly url: string
  readonly token: string | undefined
  readonly tls: buildConnector.BuildOptions
  readonly limitMs: number
}

type Target = Pick<buildConnector.Options, 'host' | 'hostname' | 'port'>

/** @throws NoConnectionError that names the proxy */
export async function openTunnel(target: Target, options: TunnelOptions): Promise<Socket> {
  const { undici, url, token, tls, limitMs } = options
  const path = authorityOf(target)
  const connect = undici.buildConnector(tls)
  const client = new undici.Client(new URL(url).origin, {
    // Else the name in the header, which is the target's, would be asked of the proxy's certificate.
    connect: (way, callback) => connect({ ...way, servername: '' }, callback),
  })
  const headers = {
    host: path,
    ...(token === undefined ? {} : { 'proxy-authorization': token }),
  }
  try {
    const request = { path, headers, signal: AbortSignal.timeout(limitMs) }
    const { statusCode, socket } = await client.connect(request)
    if (statusCode >= 200 && statusCode < 300) return socket as Socket
    socket.on('error', () => undefined).destroy()
    throw new NoConnectionError(`the proxy ${url} answered ${statusCode}: ${meaningOf(statusCode)}`)
  } catch (error) {
    if (error instanceof NoConnectionError) throw error
    const why = isTimeout(error) ? `no answer in ${limitMs} ms` : reasonOf(error)
    throw new NoConnectionError(`the proxy ${url} cannot be used: ${why}`, { cause: error })
  } finally {
    // A tunnel is not its connection any more.
    void client.destroy()
  }
}

/** `host` has the port where it is not that of https, and the brackets of IPv6. */
function authorityOf({ host, hostname, port }: Target): string {
  const named = host ?? hostname
  return port === '' ? `${named}:443` : named
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.name === 'TimeoutError'
}

const MEANINGS: Readonly<Record<number, string>> = {
  400: 'it makes no tunnels (CONNECT), or not to this port',
  403: 'it lets nobody through to this host: have host and port allowed there, or name the host in proxy.except',
  405: 'it makes no tunnels (CONNECT)',
  407: 'it wants credentials, or others: check proxy.credentialsFile',
  429: 'it limits the rate of requests',
  501: 'it makes no tunnels (CONNECT)',
  502: 'it does not reach the host: check the address, and that the proxy finds its name',
  503: 'it does not serve now, or does not reach the host',
  504: 'it got no connection to the host in time',
}

function meaningOf(status: number): string {
  return MEANINGS[status] ?? 'wanted 200'
}
