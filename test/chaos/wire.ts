/**
 * The bytes between the plugin and a key service: passed on, late, changed, twice, in drops, or
 * never. Over http:// nothing protects a body, so there only the head of an answer is changed; over
 * TLS every byte may be.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import type { SeededRandom } from '../_lib/seeded_random.ts'
import type { TlsFault, WireFault } from './steps.ts'

const LATENCY_MS = 60
const JITTER_MS = 120
/** A drop of a chunk, and how often one falls. */
const DROPS = 12
const DROP_MS = 5
/** `HTTP/1.1 200` */
const HEAD_BYTES = 12
const GARBAGE = Buffer.from('220 mail.example ESMTP planted-remote-words\r\n')

export interface ActiveFault<T> {
  readonly fault: T
  readonly random: SeededRandom
  readonly chance: number
}

/** Whether it strikes this time. */
export function strikes({ random, chance }: ActiveFault<unknown>): boolean {
  return random.below(100) < chance
}

/** Where connections lead, and what they suffer now. */
export interface WireState {
  readonly tls: boolean
  wire: ActiveFault<WireFault> | undefined
  handshake: ActiveFault<TlsFault> | undefined
  /** Told of every fault that struck. */
  readonly struck: (fault: string) => void
}

interface Ends {
  readonly client: Socket
  readonly service: Socket
}

export class Wire implements AsyncDisposable {
  readonly port: number
  readonly #server: Server
  readonly #sockets: Set<Socket>

  private constructor(server: Server, sockets: Set<Socket>) {
    this.#server = server
    this.#sockets = sockets
    this.port = (server.address() as AddressInfo).port
  }

  /** @param onward port on loopback */
  static async listen(onward: number, state: WireState): Promise<Wire> {
    const sockets = new Set<Socket>()
    const server = createServer((client) => accept(client, onward, state, sockets))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new Wire(server, sockets)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }
}

function accept(client: Socket, onward: number, state: WireState, sockets: Set<Socket>): void {
  keep(client, sockets)
  const { wire, handshake } = state
  if (wire?.fault === 'refused' && strikes(wire)) {
    state.struck('wire: refused')
    client.resetAndDestroy()
    return
  }
  if (handshake !== undefined && intercepts(client, handshake, state)) return
  const service = connect(onward, '127.0.0.1')
  keep(service, sockets)
  const ends = { client, service }
  flow(client, service, ends, state)
  flow(service, client, ends, state)
}

/** Two of the faults of a handshake need no server. */
function intercepts(client: Socket, handshake: ActiveFault<TlsFault>, state: WireState): boolean {
  const { fault } = handshake
  if ((fault !== 'garbage' && fault !== 'silent') || !strikes(handshake)) return false
  state.struck(`tls: ${fault}`)
  client.resume()
  if (fault === 'garbage') client.end(GARBAGE)
  return true
}

function keep(socket: Socket, sockets: Set<Socket>): void {
  sockets.add(socket)
  socket.on('error', () => socket.destroy())
  socket.on('close', () => sockets.delete(socket))
}

/** Chunks leave in the order in which they came, whatever each of them suffers. */
function flow(from: Socket, to: Socket, ends: Ends, state: WireState): void {
  let last = Promise.resolve()
  from.on('data', (chunk: Buffer) => {
    last = last.then(() => pass(chunk, to, ends, state))
  })
  from.on('end', () => {
    void last.then(() => to.end())
  })
  from.on('close', () => {
    void last.then(() => to.destroy())
  })
}

async function pass(chunk: Buffer, to: Socket, ends: Ends, state: WireState): Promise<void> {
  const { wire } = state
  if (to.destroyed) return
  if (wire === undefined || !strikes(wire)) {
    to.write(chunk)
    return
  }
  state.struck(`wire: ${wire.fault}`)
  await SUFFERED[wire.fault]({ chunk, to, ends, tls: state.tls, random: wire.random })
}

interface Suffering {
  readonly chunk: Buffer
  readonly to: Socket
  readonly ends: Ends
  readonly tls: boolean
  readonly random: SeededRandom
}

const SUFFERED: Readonly<Record<WireFault, (suffering: Suffering) => void | Promise<void>>> = {
  async latency({ chunk, to }) {
    await pause(LATENCY_MS)
    to.write(chunk)
  },
  async jitter({ chunk, to, random }) {
    await pause(random.below(JITTER_MS))
    to.write(chunk)
  },
  reset: ({ ends }) => reset(ends),
  refused: ({ ends }) => reset(ends),
  'half-open': () => undefined,
  corrupt({ chunk, to, ends, tls, random }) {
    if (tls) to.write(flipped(chunk, chunk.length, random))
    else to.write(to === ends.client ? flipped(chunk, HEAD_BYTES, random) : chunk)
  },
  doubled({ chunk, to }) {
    to.write(chunk)
    to.write(chunk)
  },
  async trickle({ chunk, to }) {
    const size = Math.max(Math.ceil(chunk.length / DROPS), 1)
    for (let at = 0; at < chunk.length; at += size) {
      to.write(chunk.subarray(at, at + size))
      await pause(DROP_MS)
    }
  },
  cut({ chunk, to, ends, random }) {
    to.write(chunk.subarray(0, random.below(chunk.length)))
    ends.client.end()
    ends.service.end()
  },
}

function reset({ client, service }: Ends): void {
  client.resetAndDestroy()
  service.destroy()
}

/** One bit of the first bytes is another one. */
function flipped(chunk: Buffer, within: number, random: SeededRandom): Buffer {
  const changed = Buffer.from(chunk)
  const at = random.below(Math.min(within, chunk.length))
  changed[at] = (changed[at] ?? 0) ^ (1 << random.below(8))
  return changed
}
