/**
 * Connections to one key service, under the files as they are: made when first needed, so that a CA
 * file that comes late is no reason to exit, and made again when a file changes; what is under way
 * ends on the old ones. undici is loaded with the first of them: it takes longer than all else, and
 * the sockets answer first.
 *
 * @module
 */

import type { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import type { Clock } from '../../base/clock.ts'
import { KmsError, toKmsError } from '../../base/errors.ts'
import type { EventSink } from '../../base/events.ts'
import { type Notify, notifierOf, type OfProvider } from '../../base/notices.ts'
import { sayLeftOut } from './authorities.ts'
import { poolFor } from './connect.ts'
import { type Connections, ConnectionTable } from './connections.ts'
import {
  authoritiesIn,
  clientExpiry,
  type Expiry,
  endedAmong,
  expiriesOf,
  isNearEnd,
} from './expiry.ts'
import { type ProxyOptions, proxyToken } from './proxy.ts'
import { readTlsMaterial, type TlsMaterial, type TlsOptions } from './tls_files.ts'

export interface TransportOptions {
  /** The provider's name, for events. */
  readonly provider: string
  readonly tls: TlsOptions
  readonly proxy?: ProxyOptions | undefined
  readonly clock: Clock
  readonly events: EventSink
}

/** How often files are read, while there are requests. */
const REREAD_MS = 1_000
const DAY_MS = 86_400_000

/** Connections under one state of the files. */
interface ConnectionSet {
  readonly material: TlsMaterial
  readonly proxyToken: string | undefined
  readonly authorities: () => readonly X509Certificate[]
  readonly connections: ConnectionTable
}

export class Transport {
  readonly clock: Clock
  readonly #options: TransportOptions
  readonly #notify: Notify<OfProvider>
  #connectionSet: Promise<ConnectionSet> | undefined
  #readAt = 0
  #rereading: Promise<void> | undefined
  #changes = 0
  #complained: string | undefined
  /** When an expiry was last told, by kind and time. */
  readonly #told = new Map<string, number>()
  /** The authority that vouched for the last connection. */
  #vouching: readonly Expiry[] = []

  constructor(options: TransportOptions) {
    this.clock = options.clock
    this.#options = options
    const { events, provider } = options
    this.#notify = notifierOf(events, { provider })
    if (options.tls.dangerouslySkipVerification !== true) return
    this.#notify(
      'error',
      'tls_not_verified',
      `Provider "${options.provider}" takes any certificate (dangerouslySkipVerification): anybody on the way can read keys and tokens`,
    )
  }

  /**
   * @param address `https://host:port` or `http://host:port`, maybe with a path, or `unix:///path`
   * @throws KmsError `unavailable` when a file cannot be used; the next call tries again
   */
  async connections(address: string): Promise<Connections> {
    this.#connectionSet ??= this.#start().catch((error: unknown) => {
      this.#connectionSet = undefined
      throw error
    })
    const { connections } = await this.#connectionSet
    if (this.clock.monotonic() - this.#readAt >= REREAD_MS) void this.#reread()
    return connections.to(address)
  }

  /** How often the files have changed, and connections were made again. */
  get changes(): number {
    return this.#changes
  }

  /** Reads the files now; true when they changed. */
  async refresh(): Promise<boolean> {
    const before = this.#changes
    // A reading that is under way may have read before they changed.
    await this.#rereading
    await this.#reread()
    return this.#changes !== before
  }

  /** One reading serves all who ask meanwhile. */
  #reread(): Promise<void> {
    this.#rereading ??= this.#rereadFiles().finally(() => {
      this.#rereading = undefined
    })
    return this.#rereading
  }

  async close(): Promise<void> {
    const current = await this.#connectionSet?.catch(() => undefined)
    this.#connectionSet = undefined
    await current?.connections.destroy()
  }

  async #start(): Promise<ConnectionSet> {
    const first = await this.#read()
    this.#warnOfEnds(clientExpiry(first.material))
    this.#tellOf(first)
    return first
  }

  async #read(): Promise<ConnectionSet> {
    const { tls, proxy } = this.#options
    this.#readAt = this.clock.monotonic()
    const material = await readTlsMaterial(tls)
    const token = proxy === undefined ? undefined : await proxyToken(proxy)
    const undici = await import('undici')
    const authorities = lazily(() => authoritiesIn(material))
    const onConnected = (socket: TLSSocket) => this.#noteExpiries(socket, authorities())
    const way = { undici, tls, material, proxy, proxyToken: token, onConnected }
    const connections = new ConnectionTable(this.clock, (address) => poolFor(address, way))
    return { material, proxyToken: token, authorities, connections }
  }

  async #rereadFiles(): Promise<void> {
    const current = await this.#connectionSet?.catch(() => undefined)
    if (current === undefined) return
    try {
      const next = await this.#read()
      refuseLoss(current.material, next.material)
      this.#complained = undefined
      this.#warnOfEnds([...this.#vouching, ...clientExpiry(next.material)])
      if (isSame(current, next)) return
      this.#connectionSet = Promise.resolve(next)
      this.#changes += 1
      this.#notify('info', 'tls_files_changed', `TLS files changed: new connections use them`)
      this.#tellOf(next)
      current.connections.retire()
    } catch (error) {
      const known = toKmsError(error)
      if (known.message === this.#complained) return
      this.#complained = known.message
      this.#notify(
        'warn',
        'tls_files_refused',
        `${known.message}; the ones before stay in use`,
        error,
      )
    }
  }

  /** What is in the files and does not count. */
  #tellOf({ material, authorities }: ConnectionSet): void {
    const leftOut = material.authorities?.leftOut ?? new Map()
    if (leftOut.size > 0) {
      const message = `Not all files in the folder of tls.caDir can be used, and these are left out: ${sayLeftOut(leftOut)}`
      this.#notify('warn', 'authorities_left_out', message)
    }
    const ended = endedAmong(authorities(), this.clock.now())
    if (ended.length === 0) return
    const names = ended.map((name) => `"${name}"`).join(', ')
    this.#notify(
      'info',
      'authorities_ended',
      `Authorities in tls.caFile or tls.caDir have ended and vouch for nobody any more: ${names}; take them out when it suits`,
    )
  }

  /** How long the service's certificate and the authority that vouches for it are good for. */
  #noteExpiries(socket: TLSSocket, authorities: readonly X509Certificate[]): void {
    const expiries = expiriesOf(socket, authorities)
    const vouching = expiries.filter(({ kind }) => kind === 'authority')
    if (vouching.length > 0) this.#vouching = vouching
    this.#warnOfEnds(expiries)
  }

  /** Reports every certificate once a day, so that its end is noticed in time. */
  #warnOfEnds(expiries: readonly Expiry[]): void {
    const { clock, events, provider } = this.#options
    for (const { kind, notBefore, notAfter } of expiries) {
      const name = `${kind} ${notAfter}`
      const before = this.#told.get(name)
      if (before !== undefined && clock.monotonic() - before < DAY_MS) continue
      this.#told.set(name, clock.monotonic())
      const near = isNearEnd({ notBefore, notAfter }, clock.now())
      events.emit({ type: 'certificate', provider, kind, notAfter, near })
    }
  }
}

/** Files are looked at every second, and their certificates parsed when they are used. */
function lazily<T>(make: () => T): () => T {
  let made: T | undefined
  return () => {
    made ??= make()
    return made
  }
}

function isSame(a: ConnectionSet, b: ConnectionSet): boolean {
  return a.material.fingerprint === b.material.fingerprint && a.proxyToken === b.proxyToken
}

/**
 * A file that counted and is of no use now may be half written.
 *
 * @throws KmsError `unavailable`
 */
function refuseLoss(before: TlsMaterial, after: TlsMaterial): void {
  const { leftOut = new Map<string, string>() } = after.authorities ?? {}
  const lost = (before.authorities?.used ?? []).filter((name) => leftOut.has(name))
  if (lost.length === 0) return
  const faults = new Map(lost.map((name) => [name, leftOut.get(name) ?? '']))
  const message = `Files in the folder of tls.caDir can be used no more: ${sayLeftOut(faults)}`
  throw new KmsError(message, { code: 'unavailable' })
}
