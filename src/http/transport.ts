/**
 * Connections to one key service: TLS, proxy, and how many are kept open. Made when
 * first needed, so that a CA file that comes late is no reason to exit, and made
 * anew when a file changes; what is under way ends on the old ones. undici is loaded
 * with the first of them: it takes longer than all else, and the sockets answer first.
 *
 * @module
 */

import { TLSSocket } from 'node:tls'
import type { buildConnector, Dispatcher } from 'undici'
import type { Clock } from '../kms/clock.ts'
import { toKmsError } from '../kms/errors.ts'
import type { EventSink, KmsEvent } from '../kms/events.ts'
import { goesThroughProxy, type ProxyOptions, proxyToken } from './proxy.ts'
import {
  type Expiry,
  expiriesOf,
  readTlsMaterial,
  type TlsMaterial,
  type TlsOptions,
} from './tls_files.ts'

export interface TransportOptions {
  /** The provider's name, for events. */
  readonly provider: string
  readonly tls: TlsOptions
  readonly proxy?: ProxyOptions | undefined
  readonly clock: Clock
  readonly events: EventSink
}

const CONNECTIONS = 8
/** Vault closes idle connections after five minutes. */
const KEEP_ALIVE_MS = 60_000
const CONNECT_TIMEOUT_MS = 2_000
/** How often files are looked at, while there are requests. */
const LOOK_MS = 1_000
const DAY_MS = 86_400_000
/** A certificate is near its end two weeks before, or in the last tenth of a short life. */
const NEAR_MS = 14 * DAY_MS
const NEAR_PART = 0.1
/** What a dispatcher still has under way when it is replaced may take so long. */
const FAREWELL_MS = 10_000

/** Connections under one state of the files. */
interface Generation {
  readonly undici: typeof import('undici')
  readonly material: TlsMaterial
  readonly proxyToken: string | undefined
  readonly dispatchers: Map<string, Dispatcher>
}

export class Transport {
  readonly #options: TransportOptions
  #generation: Promise<Generation> | undefined
  #lookedAt = 0
  #looking: Promise<boolean> | undefined
  #complained: string | undefined
  /** When an expiry was last told, by kind and time. */
  readonly #told = new Map<string, number>()

  constructor(options: TransportOptions) {
    this.#options = options
    if (options.tls.dangerouslySkipVerification !== true) return
    this.#say(
      'error',
      'tls_not_verified',
      `Provider "${options.provider}" takes any certificate (dangerouslySkipVerification): anybody on the way can read keys and tokens`,
    )
  }

  /**
   * @param address `https://host:port`, `http://host:port` or `unix:///path`
   * @throws KmsError `unavailable` when a file cannot be used; the next call tries again
   */
  async dispatcher(address: string): Promise<Dispatcher> {
    this.#generation ??= this.#start().catch((error: unknown) => {
      this.#generation = undefined
      throw error
    })
    const generation = await this.#generation
    if (this.#options.clock.monotonic() - this.#lookedAt >= LOOK_MS) void this.refresh()
    const kind = this.#kindOf(address)
    let dispatcher = generation.dispatchers.get(kind)
    if (dispatcher === undefined) {
      dispatcher = this.#connect(kind, generation)
      generation.dispatchers.set(kind, dispatcher)
    }
    return dispatcher
  }

  /** Looks at the files now; true when they changed and connections are made anew. */
  refresh(): Promise<boolean> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  async close(): Promise<void> {
    const generation = await this.#generation?.catch(() => undefined)
    this.#generation = undefined
    for (const dispatcher of generation?.dispatchers.values() ?? []) await dispatcher.destroy()
  }

  async #start(): Promise<Generation> {
    const generation = await this.#read()
    this.#warnOfEnds(expiriesOf(generation.material))
    return generation
  }

  async #read(): Promise<Generation> {
    const { tls, proxy, clock } = this.#options
    this.#lookedAt = clock.monotonic()
    const material = await readTlsMaterial(tls)
    const token = proxy === undefined ? undefined : await proxyToken(proxy)
    const undici = await import('undici')
    return { undici, material, proxyToken: token, dispatchers: new Map() }
  }

  async #look(): Promise<boolean> {
    const current = await this.#generation?.catch(() => undefined)
    if (current === undefined) return false
    try {
      const next = await this.#read()
      this.#complained = undefined
      this.#warnOfEnds(expiriesOf(next.material))
      if (isSame(current, next)) return false
      this.#generation = Promise.resolve(next)
      this.#say('info', 'tls_files_changed', `TLS files changed: new connections use them`)
      this.#retire(current)
      return true
    } catch (error) {
      const known = toKmsError(error)
      if (known.message !== this.#complained) {
        this.#complained = known.message
        this.#say(
          'warn',
          'tls_files_refused',
          `${known.message}; the ones before stay in use`,
          error,
        )
      }
      return false
    }
  }

  /** Requests under way end first; whatever hangs is cut. */
  #retire({ dispatchers }: Generation): void {
    for (const dispatcher of dispatchers.values()) {
      const cancel = this.#options.clock.after(FAREWELL_MS, () => void dispatcher.destroy())
      void dispatcher.close().then(cancel, cancel)
    }
  }

  /** Addresses of one kind share a dispatcher. */
  #kindOf(address: string): string {
    if (address.startsWith('unix://')) return address
    const { proxy } = this.#options
    if (proxy === undefined) return 'direct'
    return goesThroughProxy(new URL(address).hostname, proxy.except) ? 'proxy' : 'direct'
  }

  #connect(kind: string, { undici, material, proxyToken: token }: Generation): Dispatcher {
    const { proxy } = this.#options
    const pool = {
      connections: CONNECTIONS,
      pipelining: 1,
      allowH2: false,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
    }
    const tls = this.#tlsOf(material)
    if (kind === 'proxy' && proxy !== undefined) {
      const proxyTls = material.ca === undefined ? {} : { ca: [...material.ca] }
      const secret = token === undefined ? {} : { token }
      return new undici.ProxyAgent({
        ...pool,
        ...secret,
        uri: proxy.url,
        requestTls: tls,
        proxyTls,
      })
    }
    if (kind === 'direct') {
      return new undici.Agent({ ...pool, connect: this.#watched(undici.buildConnector(tls)) })
    }
    const socketPath = kind.slice('unix://'.length)
    return new undici.Agent({ ...pool, connect: { socketPath, timeout: CONNECT_TIMEOUT_MS } })
  }

  #tlsOf({ ca, cert, key }: TlsMaterial): buildConnector.BuildOptions {
    const { serverName, dangerouslySkipVerification = false } = this.#options.tls
    return {
      allowH2: false,
      timeout: CONNECT_TIMEOUT_MS,
      minVersion: 'TLSv1.2',
      rejectUnauthorized: !dangerouslySkipVerification,
      ...(ca === undefined ? {} : { ca: [...ca] }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(serverName === undefined ? {} : { servername: serverName }),
    }
  }

  /** Connects, and looks at how long the service's certificate is good for. */
  #watched(connect: buildConnector.connector): buildConnector.connector {
    return (options, callback) => {
      connect(options, (...answer) => {
        const [, socket] = answer
        if (socket instanceof TLSSocket) this.#warnOfEnds(expiryOf(socket))
        callback(...answer)
      })
    }
  }

  /** Tells of every certificate once a day, so that whoever watches sees it in time. */
  #warnOfEnds(expiries: readonly Expiry[]): void {
    const { clock, events, provider } = this.#options
    for (const { kind, notBefore, notAfter } of expiries) {
      const name = `${kind} ${notAfter}`
      const before = this.#told.get(name)
      if (before !== undefined && clock.monotonic() - before < DAY_MS) continue
      this.#told.set(name, clock.monotonic())
      const left = notAfter - clock.now()
      const near = left < Math.min(NEAR_MS, (notAfter - notBefore) * NEAR_PART)
      events.emit({ type: 'certificate', provider, kind, notAfter, near })
    }
  }

  #say(
    level: Extract<KmsEvent, { type: 'notice' }>['level'],
    what: string,
    message: string,
    error?: unknown,
  ): void {
    const { events, provider } = this.#options
    const fields = { provider }
    const cause = error === undefined ? {} : { error }
    events.emit({ type: 'notice', level, what, message, fields, ...cause })
  }
}

function isSame(a: Generation, b: Generation): boolean {
  return a.material.fingerprint === b.material.fingerprint && a.proxyToken === b.proxyToken
}

/** A resumed session may not show it again. */
function expiryOf(socket: TLSSocket): Expiry[] {
  const { valid_from, valid_to } = socket.getPeerCertificate()
  const notBefore = Date.parse(valid_from)
  const notAfter = Date.parse(valid_to)
  return Number.isNaN(notAfter) ? [] : [{ kind: 'server', notBefore, notAfter }]
}
