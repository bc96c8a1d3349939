/**
 * The admin server for probes and monitoring: `/livez` says that the process works,
 * `/readyz` that its key services do, `/metrics` what happened. It takes no input
 * and is meant for loopback.
 *
 * @module
 */

import { once } from 'node:events'
import { lstat, unlink } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { KmsError, systemCodeOf } from '../kms/errors.ts'
import type { EventSink } from '../kms/events.ts'

export interface AdminOptions {
  readonly listen: { readonly path: string } | { readonly host: string; readonly port: number }
  readonly events: EventSink
  /** What is wrong now; undefined when ready. */
  readonly problem: () => string | undefined
  readonly metrics: { text(): Promise<string>; readonly contentType: string }
}

export interface AdminServer {
  /** `127.0.0.1:8787`, or the path of the socket. */
  readonly address: string
  close(): Promise<void>
}

interface Answer {
  readonly status: number
  readonly body: string
  readonly contentType?: string
}

const INDEX = `Trousseau
/livez    the process works
/readyz   the key services work; says what is wrong
/metrics  for Prometheus
`
const LIMIT_MS = 5_000
const MAX_HEADER_BYTES = 8_192
const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]'])

/** @throws KmsError when the address cannot be had */
export async function startAdmin(options: AdminOptions): Promise<AdminServer> {
  const server = createServer({ maxHeaderSize: MAX_HEADER_BYTES }, (request, response) => {
    void answerTo(request, options).then((answer) => send(request, response, answer))
  })
  server.requestTimeout = LIMIT_MS
  server.headersTimeout = LIMIT_MS
  server.keepAliveTimeout = LIMIT_MS
  const address = await listen(server, options.listen)
  const message = `Admin server listens on ${address}`
  options.events.emit({
    type: 'notice',
    level: 'info',
    what: 'admin_listening',
    message,
    fields: { address },
  })
  return {
    address,
    async close() {
      server.close()
      server.closeAllConnections()
      if (server.listening) await once(server, 'close')
    },
  }
}

async function listen(server: Server, at: AdminOptions['listen']): Promise<string> {
  try {
    if ('path' in at) {
      await removeStale(at.path)
      server.listen(at.path)
      await once(server, 'listening')
      return at.path
    }
    server.listen(at.port, at.host)
    await once(server, 'listening')
  } catch (cause) {
    if (cause instanceof KmsError) throw cause
    const where = 'path' in at ? at.path : `${at.host}:${at.port}`
    throw new KmsError(
      `Admin server cannot listen on ${where} (${systemCodeOf(cause) ?? 'unknown error'}): choose another admin.listen, or stop what uses it`,
      { code: 'unavailable', cause },
    )
  }
  const bound = server.address()
  if (bound === null || typeof bound === 'string') return String(bound)
  return bound.family === 'IPv6'
    ? `[${bound.address}]:${bound.port}`
    : `${bound.address}:${bound.port}`
}

/** Only a socket is ever removed; what else stands there makes the bind fail. */
async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined)
  if (found?.isSocket() === true) await unlink(path)
}

async function answerTo(request: IncomingMessage, options: AdminOptions): Promise<Answer> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return { status: 405, body: 'Wanted GET or HEAD\n' }
  }
  if (!mayAsk(request, options.listen)) {
    return { status: 403, body: 'Wanted the address of this server as Host\n' }
  }
  switch (request.url?.split('?')[0]) {
    case '/':
      return { status: 200, body: INDEX }
    case '/livez':
      return { status: 200, body: 'ok\n' }
    case '/readyz': {
      const problem = options.problem()
      return problem === undefined
        ? { status: 200, body: 'ok\n' }
        : { status: 503, body: `${problem}\n` }
    }
    case '/metrics': {
      const { contentType } = options.metrics
      return { status: 200, body: await options.metrics.text(), contentType }
    }
    default:
      return { status: 404, body: 'Wanted /livez, /readyz or /metrics\n' }
  }
}

/** A page in a browser of this node must not reach a server on loopback under a name of its own. */
function mayAsk({ headers }: IncomingMessage, at: AdminOptions['listen']): boolean {
  if ('path' in at) return true
  const bare = at.host.includes(':') ? `[${at.host}]` : at.host
  if (!LOOPBACK.has(bare)) return true
  return LOOPBACK.has((headers.host ?? '').replace(/:\d+$/, ''))
}

function send(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  const { status, body, contentType = 'text/plain; charset=utf-8' } = answer
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': new TextEncoder().encode(body).length,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(status === 405 ? { allow: 'GET, HEAD' } : {}),
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}
