/**
 * What the clients of a socket may have together, so that whoever may connect to it neither fills
 * the memory nor takes anything from API servers (docs/limits.md has the reasons for the numbers).
 * A client that is good waits for its turn and is refused nothing: only who has left what it began,
 * or is one of very many, loses its connection.
 *
 * @module
 */

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import {
  constants,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2'
import type { Socket } from 'node:net'
import type { Clock } from '../base/clock.ts'
import type { EventSink } from '../base/events.ts'
import { OpenRequest } from './open_request.ts'

/** Node tells each new stream here, before grpc-js takes it. */
const NEW_STREAM = 'http2.server.stream.created'

const MAX_CONNECTIONS = 64
/** Of those: connections that were never answered. */
const MAX_STRANGERS = 32
/** Requests at once of a connection that was never answered. */
export const FEW_STREAMS = 16
/** Of one that was: what an API server that starts makes use of. */
const MANY_STREAMS = 256
/** Of all that were; fewer than 32 for one of them are never needed. */
const MAX_STREAMS = 2_048
/** Of requests that all clients together have left half sent. */
const MAX_UNFINISHED_BYTES = 1_048_576
/** Compressed requests at once: to read one takes hundreds of kilobytes, and API servers send none. */
const MAX_COMPRESSED = 16
/** API servers send some ten headers of less than 2 kB. */
const MAX_HEADER_BYTES = 8_192
/**
 * Requests that a connection may take back before anything can have come of them, for each that it
 * may have at once; one of these is forgotten every so often. An API server takes back each of its
 * own where a deadline passes for all of them.
 */
const RESETS_OF_A_STREAM = 2
const RESET_FORGOTTEN_MS = 12
const RAPID_MS = 100
const LOOK_MS = 25
/** Longer than any request may take: a client that says goodbye may still wait for its last answers. */
const GOODBYE_MS = 90_000
/** How often it is told. */
const TOLD_MS = 60_000

interface Client {
  readonly name: string
  readonly socket: Socket
  readonly requests: Set<OpenRequest>
  session?: Http2Session | undefined
  /** Whether it ever took an answer. */
  served: boolean
  /** When it last took one. */
  last: number
  allowed: number
  /** The most that it ever was. */
  mostAllowed: number
  resets: number
  resetAt: number
  bytesAtLook: number
}

/** What a client has left half sent. */
interface Left {
  readonly client: Client
  readonly bytes: number
}

interface ClientsOptions {
  readonly clock: Clock
  readonly events: EventSink
}

/** Of the process: all sockets hear of all streams. */
let named = 0

export class Clients {
  readonly #options: ClientsOptions
  /** In the order in which they came. */
  readonly #clients = new Map<string, Client>()
  #cancelLook: (() => void) | undefined
  #told = Number.NEGATIVE_INFINITY

  constructor(options: ClientsOptions) {
    this.#options = options
    subscribe(NEW_STREAM, this.#hear)
  }

  /** Gives a connection the name by which grpc-js then calls its peer, and makes room for it. */
  welcome(socket: Socket): void {
    named += 1
    const name = `client ${named}`
    // A unix socket has none of its own.
    Object.defineProperty(socket, 'remoteAddress', { value: name })
    this.#clients.set(name, {
      name,
      socket,
      requests: new Set(),
      served: false,
      last: 0,
      allowed: FEW_STREAMS,
      mostAllowed: FEW_STREAMS,
      resets: 0,
      resetAt: 0,
      bytesAtLook: 0,
    })
    socket.once('close', () => this.#clients.delete(name))
    if (this.#clients.size > MAX_CONNECTIONS) this.#makeRoom()
  }

  close(): void {
    unsubscribe(NEW_STREAM, this.#hear)
    this.#cancelLook?.()
  }

  /** Neither those that were served nor strangers can take all the places. */
  #makeRoom(): void {
    const all = [...this.#clients.values()]
    const strangers = all.filter(({ served }) => !served)
    const [idle] = all.filter(isIdle).sort((one, two) => one.last - two.last)
    const ended = strangers.length > MAX_STRANGERS ? strangers[0] : (idle ?? strangers[0])
    if (ended !== undefined) this.#end(ended, 'connections')
  }

  readonly #hear = (message: unknown): void => {
    const { stream, headers } = message as NewStream
    const client = this.#clients.get(stream.session?.socket.remoteAddress ?? '')
    if (client === undefined) return
    if (client.session === undefined) this.#know(client, stream.session)
    this.#begin(client, stream, isCompressed(headers))
    if (bytesOf(headers) > MAX_HEADER_BYTES) this.#end(client, 'headers')
    else if (isCompressed(headers) && this.#compressed() > MAX_COMPRESSED) {
      this.#end(client, 'compressed')
    }
  }

  /**
   * Node waits for the streams of a client that has said goodbye, and for ever where that breaks the
   * protocol meanwhile, with a descriptor that nobody gets back (seen with 26.10).
   */
  #know(client: Client, session: Http2Session | undefined): void {
    client.session = session
    session?.once('goaway', () => {
      const cancel = this.#options.clock.after(GOODBYE_MS, () => cut(client))
      session.once('close', cancel)
    })
  }

  #begin(client: Client, stream: ServerHttp2Stream, compressed: boolean): void {
    const since = this.#now()
    const request = new OpenRequest(stream, client.bytesAtLook, compressed)
    client.requests.add(request)
    stream.once('close', () => {
      client.requests.delete(request)
      this.#finish(client, stream, since)
    })
    this.#allow(client)
    this.#lookSoon()
  }

  #finish(client: Client, { headersSent, rstCode }: ServerHttp2Stream, since: number): void {
    const now = this.#now()
    if (headersSent && rstCode === constants.NGHTTP2_NO_ERROR) {
      client.last = now
      client.served = true
      this.#allow(client)
    } else if (now - since < RAPID_MS) {
      const forgotten = (now - client.resetAt) / RESET_FORGOTTEN_MS
      client.resets = Math.max(client.resets - forgotten, 0) + 1
      client.resetAt = now
      if (client.resets > RESETS_OF_A_STREAM * client.mostAllowed) this.#end(client, 'resets')
    }
  }

  /** Tells a client how much it may ask at once; whoever obeys waits with the rest. */
  #allow(client: Client): void {
    const allowed = client.served ? shareOf(this.#served()) : FEW_STREAMS
    const { session } = client
    if (client.allowed === allowed || session === undefined) return
    if (session.destroyed || session.pendingSettingsAck) return
    client.allowed = allowed
    client.mostAllowed = Math.max(client.mostAllowed, allowed)
    session.settings({ maxConcurrentStreams: allowed })
  }

  #served(): number {
    let count = 0
    for (const { served } of this.#clients.values()) if (served) count += 1
    return count
  }

  #compressed(): number {
    const all = [...this.#clients.values()].flatMap(({ requests }) => [...requests])
    return all.filter((request) => request.isCompressed).length
  }

  #lookSoon(): void {
    this.#cancelLook ??= this.#options.clock.after(LOOK_MS, () => {
      this.#cancelLook = undefined
      this.#look()
    })
  }

  #look(): void {
    const clients = [...this.#clients.values()]
    const left = clients.map((client) => ({ client, bytes: unfinishedBytes(client) }))
    const sum = left.reduce((total, { bytes }) => total + bytes, 0)
    if (sum > MAX_UNFINISHED_BYTES) this.#endMost(left, sum)
    for (const client of clients) client.bytesAtLook = client.socket.bytesRead
    if (clients.some(({ requests }) => requests.size > 0)) this.#lookSoon()
  }

  /** Ends the connections of those who have left most half sent, while that is too much. */
  #endMost(left: readonly Left[], sum: number): void {
    let rest = sum
    for (const { client, bytes } of left.toSorted((one, two) => two.bytes - one.bytes)) {
      if (rest <= MAX_UNFINISHED_BYTES) break
      rest -= bytes
      this.#end(client, 'bytes')
    }
  }

  #end(client: Client, limit: Limit): void {
    if (!this.#clients.delete(client.name)) return
    this.#tell(limit)
    // After grpc-js took a stream of which this turn heard: it answers none that is gone.
    queueMicrotask(() => cut(client))
  }

  #tell(limit: Limit): void {
    const now = this.#now()
    if (now - this.#told < TOLD_MS) return
    this.#told = now
    const message = `A client of the socket has more ${WORDS[limit]} than API servers have: its connection was closed`
    this.#options.events.emit({ type: 'notice', level: 'warn', what: 'clients_limited', message })
  }

  #now(): number {
    return this.#options.clock.monotonic()
  }
}

type Limit = keyof typeof WORDS
const WORDS = {
  connections: 'connections',
  headers: 'bytes of headers',
  compressed: 'compressed requests',
  bytes: 'bytes of requests that it does not finish',
  resets: 'requests that it takes back at once',
} as const

interface NewStream {
  readonly stream: ServerHttp2Stream
  readonly headers: IncomingHttpHeaders
}

function cut({ session, socket }: Client): void {
  ;(session ?? socket).destroy()
}

function isIdle({ served, requests }: Client): boolean {
  return served && ![...requests].some((each) => each.isAtWork())
}

/** As if all that came since the first of these requests were theirs. */
function unfinishedBytes({ socket, requests }: Client): number {
  return [...requests].reduce(
    (most, each) => Math.max(most, each.unfinishedBytes(socket.bytesRead)),
    0,
  )
}

/** Halved as often as needed, so that it seldom changes. */
function shareOf(clients: number): number {
  let share = MANY_STREAMS
  while (share * clients > MAX_STREAMS) share /= 2
  return share
}

function isCompressed(headers: IncomingHttpHeaders): boolean {
  return (headers['grpc-encoding'] ?? 'identity') !== 'identity'
}

function bytesOf(headers: IncomingHttpHeaders): number {
  let bytes = 0
  for (const [name, value] of Object.entries(headers)) bytes += name.length + String(value).length
  return bytes
}
