/**
 * The way to a key service, with everything that can go wrong on it: the bytes (`wire.ts`), the
 * handshake, and the answers (`answers.ts`). It also learns every token and credential that passes,
 * for a test to look for them where they must not be, and tells the service's times in those of a
 * virtual clock.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import {
  type Agent,
  createServer,
  type IncomingMessage,
  request,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer, type Server } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import type { CertificateFiles } from '../_lib/remote/certificates.ts'
import { type Asked, objectAt, readObject, type Told, WRONG } from './answers.ts'
import type { AnswerFault } from './steps.ts'
import type { VirtualTime } from './virtual_time.ts'
import { type ActiveFault, strikes, Wire, type WireState } from './wire.ts'

/** How long an answer waits for another one to be exchanged with. */
const CROSS_MS = 80
/** More than a request may take. */
const LATE_MS = 11_000
/** Set by the transport, or wrong after a change. */
const OF_THE_HOP = new Set(['content-length', 'transfer-encoding', 'connection', 'date'])

export interface Certificates {
  readonly good: CertificateFiles
  readonly 'other authority': CertificateFiles
  readonly 'ended certificate': CertificateFiles
}

interface ProxyOptions {
  /** Address of the key service. */
  readonly service: string
  /** Shared by all proxies to the service. */
  readonly agent: Agent
  readonly time: VirtualTime
  /** Served over TLS with these; over http:// without. */
  readonly certificates?: Certificates | undefined
  /** Told of every fault that struck. */
  readonly struck: (fault: string) => void
}

export interface FaultProxy extends WireState, AsyncDisposable {
  readonly address: string
  answer: ActiveFault<AnswerFault> | undefined
  /** Tokens and credentials that passed. */
  readonly secrets: ReadonlySet<string>
  /** Ends every fault. */
  heal(): void
}

export async function startFaultProxy(options: ProxyOptions): Promise<FaultProxy> {
  const { certificates, struck } = options
  const inner = new Inner(options)
  const server = certificates === undefined ? createServer() : createTlsServer()
  server.on('request', (incoming: IncomingMessage, response: ServerResponse) => {
    inner.serve(incoming, response).catch(() => response.destroy())
  })
  // A fault of the way is no fault of this server.
  server.on('clientError', (_error, socket) => socket.destroy())
  server.on('tlsClientError', () => undefined)
  // Those that are still shaking hands are known to nobody else.
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const state: WireState = {
    tls: certificates !== undefined,
    wire: undefined,
    handshake: undefined,
    struck,
  }
  const wire = await Wire.listen((server.address() as AddressInfo).port, state)
  const contexts = certificates && (await contextsOf(certificates))
  const proxy: FaultProxy = {
    address: `http${certificates === undefined ? '' : 's'}://127.0.0.1:${wire.port}`,
    tls: state.tls,
    struck,
    secrets: inner.secrets,
    get wire() {
      return state.wire
    },
    set wire(fault) {
      state.wire = fault
    },
    get handshake() {
      return state.handshake
    },
    set handshake(fault) {
      state.handshake = fault
      if (contexts === undefined) return
      const shown = fault?.fault === 'other authority' || fault?.fault === 'ended certificate'
      if (shown) struck(`tls: ${fault.fault}`)
      ;(server as Server).setSecureContext(contexts[shown ? fault.fault : 'good'])
      // What is open would not shake hands again.
      if (shown) server.closeAllConnections()
    },
    get answer() {
      return inner.fault
    },
    set answer(fault) {
      inner.fault = fault
    },
    heal() {
      proxy.wire = undefined
      proxy.handshake = undefined
      proxy.answer = undefined
    },
    async [Symbol.asyncDispose]() {
      await wire[Symbol.asyncDispose]()
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
  proxy.handshake = undefined
  return proxy
}

type Contexts = Readonly<Record<keyof Certificates, { cert: Buffer; key: Buffer }>>

async function contextsOf(certificates: Certificates): Promise<Contexts> {
  const read = async ({ cert, key }: CertificateFiles) => ({
    cert: await readFile(cert),
    key: await readFile(key),
  })
  return {
    good: await read(certificates.good),
    'other authority': await read(certificates['other authority']),
    'ended certificate': await read(certificates['ended certificate']),
  }
}

/** Speaks HTTP with both sides. */
class Inner {
  fault: ActiveFault<AnswerFault> | undefined
  readonly secrets = new Set<string>()
  readonly #options: ProxyOptions
  readonly #former = new Map<string, Told>()
  #other: Told | undefined
  #crossing: ((told: Told) => Told) | undefined

  constructor(options: ProxyOptions) {
    this.#options = options
  }

  async serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = await askedBy(incoming)
    const { fault } = this
    const told = await this.#ask(asked)
    const wrong = fault !== undefined && strikes(fault) ? fault : undefined
    const answer = wrong === undefined ? told : await this.#wrong(wrong, asked, told)
    if (wrong !== undefined) this.#options.struck(`answer: ${wrong.fault}`)
    if (told.status === 200) {
      if (!this.#former.has(asked.path)) this.#former.set(asked.path, told)
      this.#other = told
    }
    this.#give(answer, response, wrong?.fault === 'twice')
  }

  #wrong({ fault, random }: ActiveFault<AnswerFault>, asked: Asked, told: Told) {
    const [former, other] = [this.#former.get(asked.path), this.#other]
    const { time } = this.#options
    return WRONG[fault]({
      ...{ asked, told, random, former, other },
      ask: (another) => this.#ask(another),
      cross: (own) => this.#cross(own),
      late: () => pause(LATE_MS / time.speed),
    })
  }

  #give({ status, headers, body }: Told, response: ServerResponse, twice: boolean): void {
    const { time } = this.#options
    const whole = {
      ...headers,
      date: new Date(time.now()).toUTCString(),
      'content-length': String(Buffer.byteLength(body)),
    }
    response.sendDate = false
    const { socket } = response
    response.writeHead(status, whole).end(body, () => {
      if (!twice || socket === null || socket.destroyed) return
      const lines = Object.entries(whole).map(([name, value]) => `${name}: ${value}\r\n`)
      socket.write(`HTTP/1.1 ${status} Again\r\n${lines.join('')}\r\n${body}`)
    })
  }

  async #ask(asked: Asked): Promise<Told> {
    const { service, agent } = this.#options
    const { method, path, headers, body } = asked
    this.#learn(headers['x-vault-token'], body)
    const outgoing = request(`${service}${path}`, { method, agent, headers: headersOf(asked) })
    outgoing.end(body)
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
    const told = {
      status: answer.statusCode ?? 0,
      headers: plainHeaders(answer),
      body: await textOf(answer),
    }
    this.#learn(undefined, told.body)
    return this.#timed(path, told)
  }

  /** Creation times by the virtual clock. */
  #timed(path: string, told: Told): Told {
    const { time } = this.#options
    if (time.speed === 1 || !/\/keys\/[^/]+$/.test(path) || told.status !== 200) return told
    const body = readObject(told.body)
    const data = objectAt(body, 'data')
    const keys = Object.entries(objectAt(data, 'keys')).map(([label, at]) => [
      label,
      typeof at === 'number' ? time.seconds(at) : at,
    ])
    const changed = { ...body, data: { ...data, keys: Object.fromEntries(keys) } }
    return { ...told, body: JSON.stringify(changed) }
  }

  #learn(token: string | undefined, body: string): void {
    if (token !== undefined) this.secrets.add(token)
    for (const [, secret = ''] of body.matchAll(/"(?:client_token|secret_id)":"([^"]{8,})"/g)) {
      this.secrets.add(secret)
    }
  }

  /** Two that meet leave with the answer of the other. */
  #cross(told: Told): Promise<Told> {
    const meet = this.#crossing
    if (meet !== undefined) {
      this.#crossing = undefined
      return Promise.resolve(meet(told))
    }
    return new Promise((resolve) => {
      const alone = setTimeout(() => {
        this.#crossing = undefined
        resolve(told)
      }, CROSS_MS)
      this.#crossing = (other) => {
        clearTimeout(alone)
        resolve(other)
        return told
      }
    })
  }
}

async function askedBy(incoming: IncomingMessage): Promise<Asked> {
  const { method = '', url = '/' } = incoming
  return { method, path: url, headers: plainHeaders(incoming), body: await textOf(incoming) }
}

function headersOf({ headers, body }: Asked): Record<string, string> {
  return { ...headers, 'content-length': String(Buffer.byteLength(body)) }
}

function plainHeaders({ headers }: IncomingMessage): Record<string, string> {
  const kept = Object.entries(headers).filter(([name]) => !OF_THE_HOP.has(name))
  return Object.fromEntries(kept.map(([name, value]) => [name, String(value)]))
}

async function textOf(incoming: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of incoming) parts.push(part as Buffer)
  return Buffer.concat(parts).toString()
}
