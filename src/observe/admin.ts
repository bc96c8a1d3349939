/**
 * The admin server for probes and monitoring: `/livez` says that the process works, `/readyz` that
 * its key services work, `/metrics` counts what happened, and `/statusz` shows the present state, as
 * `/` does in a browser. It takes no input and is meant for loopback. A server of `probes` has what
 * a kubelet asks for and nothing else, since it may be open to others.
 *
 * @module
 */

import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { toKmsError } from '../base/errors.ts'
import type { EventSink } from '../base/events.ts'
import { ADMIN_NAMES, type AdminAddress, type AdminKind, listen } from './listen.ts'
import { type Answer, checksAt, type MorePages, morePages, type Pages, withPage } from './pages.ts'

export interface AdminOptions {
  readonly listen: AdminAddress
  /** The key of the config that it is of. */
  readonly of: AdminKind
  readonly events: EventSink
  /** What is wrong now; undefined when ready. */
  readonly problem: () => string | undefined
  /** What shows more than whether all is well. */
  readonly pages?: MorePages
}

export interface AdminServer {
  /** `127.0.0.1:8787`, or the path of the socket. */
  readonly address: string
  close(): Promise<void>
}

/** Whoever can reach a server for probes is shown no name and no address. */
const NOT_READY = 'not ready: the log of the plugin says why\n'
const LIMIT_MS = 5_000
/** For whoever takes nothing of an answer; the other limits end what they end with words. */
const UNREAD_MS = 2 * LIMIT_MS
/** The runtimes look for connections past their limit this often; by themselves, every 30 s. */
const LIMIT_CHECK_MS = 1_000
const MAX_HEADER_BYTES = 8_192
/** A kubelet and a scraper have one each, and are answered at once. */
const MAX_CONNECTIONS = 64
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/

/** @throws KmsError when the address cannot be had */
export async function startAdmin(options: AdminOptions): Promise<AdminServer> {
  const limits = { maxHeaderSize: MAX_HEADER_BYTES, connectionsCheckingInterval: LIMIT_CHECK_MS }
  const pages = options.pages && withPage(options.pages)
  const server = createServer(limits, (request, response) => {
    // The rest of a pipeline is parsed all the same.
    if (request.socket.destroyed) return
    void answerTo(request, options, pages).then((answer) => send(request, response, answer))
  })
  keepBelow(server, MAX_CONNECTIONS)
  server.prependListener('request', endPipeline())
  server.timeout = UNREAD_MS
  server.requestTimeout = LIMIT_MS
  server.headersTimeout = LIMIT_MS
  server.keepAliveTimeout = LIMIT_MS
  const address = await listen(server, options.listen, options.of)
  const message = `${ADMIN_NAMES[options.of]} listens on ${address}`
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
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

/** Closes the oldest connection for one that is too many, so that nobody can hold all there are. */
function keepBelow(server: Server, most: number): void {
  const open = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    const [oldest] = open
    if (open.size > most) oldest?.destroy()
  })
}

/** Nobody who asks here asks again before the answer is there; the answers would fill the memory. */
function endPipeline() {
  const busy = new WeakSet<Socket>()
  return ({ socket }: IncomingMessage, response: ServerResponse) => {
    if (busy.has(socket)) socket.destroy()
    busy.add(socket)
    response.once('close', () => busy.delete(socket))
  }
}

/** A bug in an answer ends that answer and nothing else. */
async function answerTo(
  request: IncomingMessage,
  options: AdminOptions,
  pages: Pages | undefined,
): Promise<Answer> {
  try {
    return refusalOf(request, options.listen) ?? (await pageAt(request, options, pages))
  } catch (cause) {
    options.events.emit({
      type: 'notice',
      level: 'error',
      what: 'admin_failed',
      message: 'Admin server failed to answer',
      error: toKmsError(cause),
    })
    return { status: 500, body: 'Internal error, see the log\n' }
  }
}

function refusalOf(request: IncomingMessage, at: AdminAddress): Answer | undefined {
  const { method, headers } = request
  if (method !== 'GET' && method !== 'HEAD') return { status: 405, body: 'Wanted GET or HEAD\n' }
  if (headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) !== 0) {
    return { status: 400, body: 'Wanted no body\n' }
  }
  if (!mayAsk(request, at)) {
    return { status: 403, body: 'Wanted the address of this server as Host\n' }
  }
  return undefined
}

async function pageAt(
  request: IncomingMessage,
  options: AdminOptions,
  pages: Pages | undefined,
): Promise<Answer> {
  const [path = '', query = ''] = request.url?.split('?', 2) ?? []
  if (pages === undefined) {
    return probeAt(path, options) ?? { status: 404, body: 'Wanted /livez, /healthz or /readyz\n' }
  }
  return (
    (await checksAt(path, query, pages.checks)) ??
    probeAt(path, options) ??
    (await morePages(path, request, pages))
  )
}

/** What a kubelet asks for. */
function probeAt(path: string, { of, problem: problemNow }: AdminOptions): Answer | undefined {
  switch (path) {
    case '/livez':
    case '/healthz':
      return { status: 200, body: 'ok\n' }
    case '/readyz': {
      const problem = problemNow()
      if (problem === undefined) return { status: 200, body: 'ok\n' }
      return { status: 503, body: of === 'probes' ? NOT_READY : `${problem}\n` }
    }
    default:
      return undefined
  }
}

/** A page in a browser of this node must not reach a server on loopback under a name of its own. */
function mayAsk({ headers }: IncomingMessage, at: AdminAddress): boolean {
  if ('path' in at) return true
  const bare = at.host.includes(':') ? `[${at.host}]` : at.host
  if (!LOOPBACK.test(bare.toLowerCase())) return true
  return LOOPBACK.test((headers.host ?? '').replace(/:\d+$/, '').toLowerCase())
}

function send(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  const { status, body, contentType = 'text/plain; charset=utf-8', headers } = answer
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': new TextEncoder().encode(body).length,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...headers,
    ...(status === 405 ? { allow: 'GET, HEAD' } : {}),
    // A client that was refused may go on sending, so the connection is closed.
    ...(status >= 400 && status < 500 ? { connection: 'close' } : {}),
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}
