/**
 * The sockets of all endpoints: each is opened, tried again where it cannot be had,
 * and served by the keyring that is in force when a request comes.
 *
 * @module
 */

import type { Clock } from '../base/clock.ts'
import { toKmsError } from '../base/errors.ts'
import type { EventSink } from '../base/events.ts'
import type { KmsService } from '../base/service.ts'
import type { Config } from '../config/schema.ts'
import { type GrpcServer, startGrpcServer } from '../grpc/server.ts'
import type { Served } from './served.ts'
import { VERSION } from './version.ts'

/** How long requests under way, and then revoking tokens, may take once the plugin is to stop. */
export const DRAIN_MS = 5_000
/** With several endpoints, how often a socket that cannot be opened is tried again. */
const RETRY_MS = 5_000

interface SocketsDeps {
  readonly clock: Clock
  readonly events: EventSink
  /** Takes the sockets of a plugin that runs. */
  readonly takeOver: boolean
  /** Whether what each request did is written down. */
  readonly records: boolean
}

export class Sockets {
  readonly #deps: SocketsDeps
  readonly #services = new Map<string, SwitchedService>()
  readonly #servers: GrpcServer[] = []
  /** Endpoints whose socket is not open: the reason, and how to stop trying. */
  readonly #unheard = new Map<string, { readonly why: string; readonly cancel: () => void }>()
  #closed = false

  constructor(deps: SocketsDeps) {
    this.#deps = deps
  }

  /** @throws KmsError where not one of them can be had */
  async open(config: Config, served: readonly Served[]): Promise<void> {
    for (const { endpoint, keyring } of served) {
      this.#services.set(endpoint.name, new SwitchedService(keyring))
    }
    const failures: unknown[] = []
    for (const each of served) {
      try {
        await this.#open(config, each)
      } catch (error) {
        failures.push(error)
        if (failures.length === served.length) throw failures[0]
        this.#openLater(config, each, error)
      }
    }
  }

  /** From now on each endpoint's requests are these keyrings'. */
  switchTo(served: readonly Served[]): void {
    for (const { endpoint, keyring } of served) this.#services.get(endpoint.name)?.to(keyring)
  }

  /** One line for each endpoint without its socket. */
  problems(): string[] {
    return [...this.unheard()].map(([name, why]) => `${name}: ${why}`)
  }

  /** Why an endpoint has no socket, by its name. */
  unheard(): ReadonlyMap<string, string> {
    return new Map([...this.#unheard].map(([name, { why }]) => [name, why]))
  }

  /** Requests under way are answered first. */
  async close(): Promise<void> {
    this.#closed = true
    for (const { cancel } of this.#unheard.values()) cancel()
    for (const server of this.#servers.splice(0).reverse()) await server.close()
  }

  async #open(config: Config, { endpoint, keyring }: Served): Promise<void> {
    const { clock, events, takeOver, records } = this.#deps
    const server = await startGrpcServer({
      clock,
      events,
      endpoint: endpoint.name,
      socket: endpoint.socket,
      takeOver,
      records,
      service: this.#services.get(endpoint.name) ?? keyring,
      statusVersion: config.statusVersion,
      runtimeVersion: VERSION,
      requestTimeoutMs: config.requestTimeout,
      drainMs: DRAIN_MS,
    })
    this.#unheard.delete(endpoint.name)
    if (this.#closed) await server.close()
    else this.#servers.push(server)
  }

  /** The failure of one endpoint's socket is no reason to stop the others. */
  #openLater(config: Config, served: Served, error: unknown): void {
    if (this.#closed) return
    const { name } = served.endpoint
    const message = `Endpoint "${name}" cannot have its socket, and tries again every ${RETRY_MS / 1000} s`
    const what = 'endpoint_failed'
    this.#deps.events.emit({ type: 'notice', level: 'error', what, message, error })
    const cancel = this.#deps.clock.after(RETRY_MS, () => {
      this.#open(config, served).catch((again: unknown) => this.#openLater(config, served, again))
    })
    this.#unheard.set(name, { why: toKmsError(error).message, cancel })
  }
}

/** Hands each request to the keyring that is in force when the request comes. */
class SwitchedService implements KmsService {
  #current: KmsService

  constructor(first: KmsService) {
    this.#current = first
  }

  to(next: KmsService): void {
    this.#current = next
  }

  status: KmsService['status'] = () => this.#current.status()
  encrypt: KmsService['encrypt'] = (request, call) => this.#current.encrypt(request, call)
  decrypt: KmsService['decrypt'] = (request, call) => this.#current.decrypt(request, call)
}
