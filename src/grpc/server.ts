/**
 * Services on one socket, from the first bind to the last answer. A socket file that vanishes is
 * made again automatically.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { rename } from 'node:fs/promises'
import { createServer, type Server as Listener } from 'node:net'
import process from 'node:process'
import {
  type ConnectionInjector,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  setLogger,
} from '@grpc/grpc-js'
import './deno_sessions.ts'
import type { Clock } from '../base/clock.ts'
import type { EventSink } from '../base/events.ts'
import { type None, type Notify, notifierOf } from '../base/notices.ts'
import { Clients, FEW_STREAMS } from './clients.ts'
import {
  draftFor,
  inodeAt,
  leaveDraft,
  openTo,
  removeOwn,
  type SocketOptions,
  unusable,
} from './socket.ts'
import { Turns } from './turns.ts'
import type { Bytes, UnaryHandler } from './unary.ts'
import { createV1Handlers, type V1Deps } from './v1beta1.ts'
import { createV2Handlers, type V2Deps } from './v2.ts'

export interface SocketServerOptions {
  readonly clock: Clock
  readonly events: EventSink
  readonly socket: SocketOptions
  /** Replaces a socket on which another process answers; that one keeps its connections until it stops. */
  readonly takeOver?: boolean
  /** How long requests under way may take once the server closes. */
  readonly drainMs: number
}

export interface GrpcServerOptions extends V1Deps, V2Deps, SocketServerOptions {}

/** By the full name of each service, its methods. */
type Services = Readonly<Record<string, Readonly<Record<string, UnaryHandler>>>>

export interface GrpcServer {
  readonly path: string
  /** Answers what is under way, then removes the socket. */
  close(): Promise<void>
}

/**
 * grpc-js writes to standard error. Its errors put a client's words there, one line for each odd
 * header; the others come only to whoever asks for them by `GRPC_VERBOSITY`.
 */
const GRPC_LOGGER = { error: () => undefined, info: toStandardError, debug: toStandardError }
/** Annotations have 32 kB at most, a v1beta1 cipher 64 kB. */
const MAX_REQUEST_BYTES = 262_144
/** What HTTP/2 may hold for one connection. */
const MAX_SESSION_MB = 16
const WATCH_MS = 1_000
const DRAIN_CHECK_MS = 20
/** The time for last answers and GOAWAY frames to leave the process. */
const FLUSH_MS = 100

/** @throws KmsError when the socket cannot be had; the message says why */
export function startGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  const services = {
    'v2.KeyManagementService': createV2Handlers(options),
    'v1beta1.KeyManagementService': createV1Handlers(options),
  }
  return serveOnSocket(services, options)
}

/** @throws KmsError when the socket cannot be had; the message says why */
export async function serveOnSocket(
  services: Services,
  options: SocketServerOptions,
): Promise<GrpcServer> {
  setLogger(GRPC_LOGGER)
  const server = new SocketServer(services, options)
  try {
    await server.listen('socket_listening', options.takeOver)
  } catch (error) {
    server.end()
    throw error
  }
  server.watch()
  return server
}

class SocketServer implements GrpcServer {
  readonly path: string
  readonly #options: SocketServerOptions
  readonly #server = new Server({
    'grpc.max_receive_message_length': MAX_REQUEST_BYTES,
    'grpc.max_concurrent_streams': FEW_STREAMS,
    'grpc-node.max_session_memory': MAX_SESSION_MB,
  })
  readonly #injector: ConnectionInjector
  readonly #clients: Clients
  readonly #turns: Turns<string>
  /** The last one listens; those before it are here until their connections have ended. */
  readonly #listeners = new Set<Listener>()
  readonly #notify: Notify<None>
  #inode: number | undefined
  #taken = false
  #underWay = 0
  #closed = false
  #watching: Promise<void> | undefined
  #cancelWatch: () => void = () => undefined

  constructor(services: Services, options: SocketServerOptions) {
    this.path = options.socket.path
    this.#options = options
    this.#notify = notifierOf(options.events, {})
    this.#injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure())
    this.#clients = new Clients(options)
    this.#turns = new Turns(options.clock)
    for (const [name, handlers] of Object.entries(services)) {
      const counted = Object.entries(handlers).map(
        ([method, handler]) => [method, this.#counted(handler)] as const,
      )
      this.#server.addService(definitionOf(name, handlers), Object.fromEntries(counted))
    }
  }

  /** One before goes on until the new one is there: binding again may fail. */
  async listen(what: 'socket_listening' | 'socket_rebound', takeOver = false): Promise<void> {
    const draft = await draftFor(this.path, takeOver)
    const listener = createServer((socket) => {
      this.#clients.welcome(socket)
      this.#injector.injectConnection(socket)
    })
    try {
      await this.#bind(listener, draft)
      await openTo({ ...this.#options.socket, path: draft })
      // The same at the path, where the file may be gone again by the next line.
      const inode = await inodeAt(draft)
      await rename(draft, this.path)
      this.#inode = inode
    } catch (error) {
      listener.close()
      throw error
    } finally {
      await leaveDraft(draft)
    }
    // What is open is served on.
    void this.#stopListening()
    this.#listeners.add(listener)
    listener.once('close', () => this.#listeners.delete(listener))
    this.#taken = false
    const mode = this.#options.socket.mode.toString(8).padStart(4, '0')
    this.#notify('info', what, `Listening on ${this.path} (mode ${mode})`)
  }

  /** Checks the socket file until the server closes, and makes it again when it vanishes. */
  watch(): void {
    if (this.#closed) return
    this.#cancelWatch = this.#options.clock.after(WATCH_MS, () => {
      this.#watching = this.#checkSocketFile().finally(() => this.watch())
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancelWatch()
    await this.#watching
    await removeOwn(this.path, this.#inode)
    await this.#drain()
    this.end()
  }

  /** Whatever is under way. */
  end(): void {
    this.#server.forceShutdown()
    this.#clients.close()
  }

  /** grpc-js has no limit to the number of its connections: it gets them from here. */
  #bind(listener: Listener, path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      // Later ones are of a connection that could not be taken.
      listener.on('error', (cause) => reject(unusable(this.path, 'the system refused it', cause)))
      listener.listen(path, resolve)
    })
  }

  /** Resolves once their connections have ended too. */
  async #stopListening(): Promise<void> {
    const ended = [...this.#listeners].map((each) => new Promise((gone) => each.close(gone)))
    await Promise.all(ended)
  }

  /**
   * Tells the clients to go, waits for the requests under way, and ends what is left.
   * An idle connection is no reason to wait; on Deno 2.9 a session does not close by
   * itself, so nothing here depends on that.
   */
  #drain(): Promise<void> {
    const { clock, drainMs } = this.#options
    const end = clock.monotonic() + drainMs
    return new Promise((resolve) => {
      const force = () => {
        if (this.#underWay > 0) {
          this.#notify(
            'warn',
            'drain_cut',
            `Cut off what was under way after ${drainMs} ms, requests: ${this.#underWay}`,
          )
        }
        resolve()
      }
      const waitOn = () => {
        const done = this.#underWay === 0 || clock.monotonic() >= end
        clock.after(done ? FLUSH_MS : DRAIN_CHECK_MS, done ? force : waitOn)
      }
      void this.#stopListening().then(resolve)
      this.#server.tryShutdown(() => undefined)
      waitOn()
    })
  }

  /** Counts a handler's requests, which begin in turns; one whose client is gone does not begin. */
  #counted(handler: UnaryHandler): UnaryHandler {
    return (call, callback) => {
      this.#underWay += 1
      this.#turns.take(call.getPeer(), () => {
        if (call.cancelled) {
          this.#underWay -= 1
          return
        }
        handler(call, (...answer) => {
          this.#underWay -= 1
          callback(...answer)
        })
      })
    }
  }

  async #checkSocketFile(): Promise<void> {
    try {
      const inode = await inodeAt(this.path)
      if (inode === undefined) await this.#bindAgain()
      else if (inode !== this.#inode) this.#sayTaken()
    } catch (error) {
      this.#notify('error', 'socket_lost', `Cannot watch or bind ${this.path} again`, error)
    }
  }

  async #bindAgain(): Promise<void> {
    this.#notify('warn', 'socket_vanished', `Socket ${this.path} vanished: binding it again`)
    await this.listen('socket_rebound')
  }

  #sayTaken(): void {
    if (this.#taken) return
    this.#taken = true
    this.#notify(
      'warn',
      'socket_taken',
      `Another process took over ${this.path}: connections that are open are served on, new ones go there`,
    )
  }
}

/** Bytes go through as they are: decoding belongs to the handlers, which can say what was wrong. */
function definitionOf(
  service: string,
  handlers: Readonly<Record<string, UnaryHandler>>,
): ServiceDefinition {
  const pass = (bytes: Bytes) => bytes
  const serialize = (bytes: Bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Object.fromEntries(
    Object.keys(handlers).map((method) => [
      method,
      {
        path: `/${service}/${method}`,
        requestStream: false,
        responseStream: false,
        requestSerialize: serialize,
        requestDeserialize: pass,
        responseSerialize: serialize,
        responseDeserialize: pass,
      },
    ]),
  )
}

function toStandardError(...words: unknown[]): void {
  process.stderr.write(`${words.join(' ')}\n`)
}
