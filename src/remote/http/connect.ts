/**
 * How connections to a service are made: over TLS, to a socket, or through a proxy. What
 * the service shows of itself is looked at on the way.
 *
 * @module
 */

import { TLSSocket } from 'node:tls'
import type { buildConnector, Dispatcher } from 'undici'
import { unixPathOf } from '../../base/socket_path.ts'
import { partsOfAddress } from './address.ts'
import { keepPresented, presentedBy } from './presented.ts'
import { goesThroughProxy, type ProxyOptions } from './proxy.ts'
import { identityOf, type TlsMaterial, type TlsOptions, trustOf } from './tls_files.ts'
import { openTunnel } from './tunnel.ts'

type Undici = typeof import('undici')
type Connector = buildConnector.connector

/** What holds for all connections under one state of the files. */
interface Way {
  readonly undici: Undici
  readonly tls: TlsOptions
  readonly material: TlsMaterial
  readonly proxy: ProxyOptions | undefined
  /** The header that the proxy wants. */
  readonly proxyToken: string | undefined
  /** Told of every new connection over TLS to a service. */
  readonly onConnected: (socket: TLSSocket) => void
}

const CONNECT_TIMEOUT_MS = 2_000
/** Vault closes idle connections after five minutes. */
const KEEP_ALIVE_MS = 60_000
const POOL = {
  connections: 8,
  pipelining: 1,
  allowH2: false,
  keepAliveTimeout: KEEP_ALIVE_MS,
  keepAliveMaxTimeout: KEEP_ALIVE_MS,
  // Each request has a time limit in its signal; undici's own, of five minutes, cost a tenth of the
  // processor time of a request that comes alone.
  headersTimeout: 0,
  bodyTimeout: 0,
} as const
/**
 * The TLS settings for a proxy or a service. They are set explicitly, because environment variables
 * would change the defaults.
 */
const TLS = {
  allowH2: false,
  timeout: CONNECT_TIMEOUT_MS,
  minVersion: 'TLSv1.2',
  rejectUnauthorized: true,
} as const

/** A pool of connections to one address; none is made before it is needed. */
export function poolFor(address: string, way: Way): Dispatcher {
  const { undici, proxy, proxyToken: token, material } = way
  const socketPath = unixPathOf(address)
  if (socketPath !== undefined) {
    const connect = { socketPath, timeout: CONNECT_TIMEOUT_MS }
    return new undici.Pool('http://localhost', { ...POOL, connect })
  }
  const { origin } = partsOfAddress(address)
  const { hostname, protocol } = new URL(origin)
  const direct = watched(undici.buildConnector(tlsOf(way)), way)
  if (proxy === undefined || !goesThroughProxy(hostname, proxy.except)) {
    return new undici.Pool(origin, { ...POOL, connect: direct })
  }
  const proxyTls = { ...TLS, ...trustOf(material) }
  if (protocol === 'https:') {
    const tunnel = { undici, url: proxy.url, token, tls: proxyTls, limitMs: CONNECT_TIMEOUT_MS }
    return new undici.Pool(origin, { ...POOL, connect: tunnelled(tunnel, direct) })
  }
  // Nothing is hidden from the proxy, so it is asked for the page itself.
  const secret = token === undefined ? {} : { token }
  return new undici.ProxyAgent({ ...POOL, ...secret, uri: proxy.url, proxyTls })
}

function tlsOf({ tls, material }: Way): buildConnector.BuildOptions {
  const { serverName, dangerouslySkipVerification = false } = tls
  return {
    ...TLS,
    rejectUnauthorized: !dangerouslySkipVerification,
    ...trustOf(material),
    ...identityOf(material),
    ...(serverName === undefined ? {} : { servername: serverName }),
  }
}

function tunnelled(tunnel: Parameters<typeof openTunnel>[1], connect: Connector): Connector {
  return (options, callback) => {
    openTunnel(options, tunnel).then(
      (httpSocket) => connect({ ...options, httpSocket }, callback),
      (error: Error) => callback(error, null),
    )
  }
}

/** Keeps what was shown with the failure, which comes when the connection is gone already. */
function watched(connect: Connector, { onConnected }: Way): Connector {
  return (options, callback) => {
    let names: string | undefined
    const made: unknown = connect(options, (...answer) => {
      const [error, socket] = answer
      if (error !== null && names !== undefined) keepPresented(error, names)
      if (socket instanceof TLSSocket) onConnected(socket)
      callback(...answer)
    })
    // Emitted between the handshake and the judgement; a runtime without it brings no names.
    if (made instanceof TLSSocket) {
      made.prependOnceListener('secure', () => {
        names = presentedBy(made)
      })
    }
  }
}
