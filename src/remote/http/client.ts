/**
 * JSON over HTTP for the providers: bounded answers, no redirects, and one place
 * that turns transport failures into {@link KmsError}. What a status means is the
 * caller's business.
 *
 * @module
 */

import type { Dispatcher } from 'undici'
import * as v from 'valibot'
import type { Clock } from '../../base/clock.ts'
import { KmsError } from '../../base/errors.ts'
import { partsOfAddress } from './address.ts'
import type { Connections } from './connections.ts'
import { type Exchange, exchange } from './exchange.ts'
import { isModest, readJson } from './json.ts'
import { isStale, isTlsFault, reasonOf } from './reasons.ts'
import type { Transport } from './transport.ts'

export interface HttpRequest {
  readonly method: Exchange['method']
  /** Below the path of the address, where that has one. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** JSON, where the headers name no other `content-type`. */
  readonly body?: string | undefined
  /** Its reason is what the call rejects with. */
  readonly signal: AbortSignal
  /** False where the service must not see it twice. */
  readonly repeatable?: boolean
  /** Whether an answer says, beside its status, that another node serves. */
  readonly isElsewhere?: (answer: HttpAnswer) => boolean
  /** What messages say in place of a path that is nobody's business. */
  readonly shownPath?: string
}

export interface HttpAnswer {
  readonly status: number
  /** Who answered. */
  readonly address: string
  /** It came over a connection that worked before; a new one may lead to another node. */
  readonly kept: boolean
  /** The service's clock in milliseconds since the epoch, by its `Date` header. */
  readonly serviceTime: number | undefined
  /** One header by its name in lower case. */
  readonly header: (name: string) => string | undefined
  /** Read it with {@link parseAnswer} alone: it may hold secrets. */
  readonly text: string
}

/** A node that answers one of these serves nothing, but another behind the same address may. */
const SERVES_NOTHING = new Set([472, 474])
/** How long an answer may take until another connection is tried beside the kept one. */
const SILENCE_MS = 1_000
/** A node that gave no answer for so long may be gone. */
const SUSPICIOUS_MS = 500

export class HttpClient {
  /** `https://host:port`, `http://host:port`, each maybe with a path, or `unix:///path`. */
  readonly address: string
  readonly #origin: string
  readonly #base: string
  readonly #transport: Transport

  constructor(address: string, transport: Transport) {
    const { origin, base } = partsOfAddress(address)
    this.address = address
    this.#origin = origin
    this.#base = base
    this.#transport = transport
  }

  /**
   * The answer, whatever its status. A connection that was kept may lead to a node that is gone:
   * where it breaks or stays silent the request is sent once more over a new one, and so it is
   * where a certificate is not trusted and files have changed since they were read. After an answer
   * of a node that serves nothing, too, the next request goes over a new one.
   *
   * @throws KmsError `unavailable`, `protocol`, or the reason of the signal
   */
  async send(request: HttpRequest): Promise<HttpAnswer> {
    try {
      const { changes } = this.#transport
      const kept = await this.#transport.connections(this.address)
      const first = this.#once(request, kept)
      const alone = request.repeatable === false || !kept.proven
      if (alone || (await settlesWithin(this.#transport.clock, SILENCE_MS, first))) {
        return await this.#orAgain(request, first, changes)
      }
      kept.renew()
      return await this.#beside(request, first)
    } catch (error) {
      throw this.#translate(request, error)
    }
  }

  async #orAgain(
    request: HttpRequest,
    first: Promise<HttpAnswer>,
    changes: number,
  ): Promise<HttpAnswer> {
    try {
      return await first
    } catch (error) {
      if (!(await this.#mayHelp(request, error, changes))) throw error
    }
    return await this.#once(request, await this.#transport.connections(this.address))
  }

  /** Over a new connection, while the kept one may still bring the first answer. */
  async #beside(request: HttpRequest, first: Promise<HttpAnswer>): Promise<HttpAnswer> {
    const late = new AbortController()
    const signal = AbortSignal.any([request.signal, late.signal])
    const second = this.#transport
      .connections(this.address)
      .then((connections) => this.#once({ ...request, signal }, connections))
    try {
      return await Promise.any([first, second])
    } catch {
      return await second
    } finally {
      late.abort(new KmsError('Another connection was faster', { code: 'cancelled' }))
    }
  }

  /** @param changes how often the files had changed before the request */
  async #mayHelp(
    { signal, repeatable = true }: HttpRequest,
    error: unknown,
    changes: number,
  ): Promise<boolean> {
    if (signal.aborted) return false
    if (isTlsFault(error)) {
      // Another request, or the reading each second, may have seen the change first.
      return this.#transport.changes !== changes || (await this.#transport.refresh())
    }
    return repeatable && isStale(error)
  }

  /** One exchange, and what it shows of the connections. */
  async #once(request: HttpRequest, connections: Connections): Promise<HttpAnswer> {
    const { clock } = this.#transport
    const { proven: kept } = connections
    const start = clock.monotonic()
    try {
      const answer = { ...(await this.#exchange(request, connections.dispatcher)), kept }
      if (servesNothing(answer) || request.isElsewhere?.(answer) === true) connections.renew()
      else if (clock.monotonic() - start < SILENCE_MS) connections.proven = true
      return answer
    } catch (error) {
      const waited = clock.monotonic() - start
      const silent = request.signal.aborted && (isTimeout(request) || waited >= SUSPICIOUS_MS)
      if (silent || isStale(error)) connections.renew()
      throw error
    }
  }

  async #exchange(
    { method, path, headers, body, signal }: HttpRequest,
    dispatcher: Dispatcher,
  ): Promise<Omit<HttpAnswer, 'kept'>> {
    const { status, header, text } = await exchange(dispatcher, {
      origin: this.#origin,
      path: `${this.#base}${path}`,
      method,
      headers: body === undefined ? headers : { 'content-type': 'application/json', ...headers },
      body,
      signal,
    })
    const date = Date.parse(header('date') ?? '')
    const serviceTime = Number.isNaN(date) ? undefined : date
    return { status, address: this.address, serviceTime, header, text }
  }

  #translate({ method, path, shownPath, signal }: HttpRequest, error: unknown): KmsError {
    if (signal.aborted && signal.reason instanceof KmsError) return signal.reason
    if (error instanceof KmsError) return error
    // A query may hold what nobody else should see.
    const shown = shownPath ?? path.replace(/\?.*/s, '')
    const message = `${method} ${shown} got no answer from ${this.address}: ${reasonOf(error)}`
    return new KmsError(message, { code: 'unavailable', cause: error })
  }
}

function servesNothing({ status }: HttpAnswer): boolean {
  return status >= 500 || SERVES_NOTHING.has(status)
}

function isTimeout({ signal: { reason } }: HttpRequest): boolean {
  return reason instanceof KmsError && reason.code === 'timeout'
}

function settlesWithin(clock: Clock, ms: number, work: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve) => {
    const cancel = clock.after(ms, () => resolve(false))
    const settled = () => {
      cancel()
      resolve(true)
    }
    work.then(settled, settled)
  })
}

/**
 * The answer's JSON as `schema` reads it.
 *
 * @throws KmsError `unavailable` where it is none, as when somebody in between answers, and
 *   `protocol` where it is of another shape; both name places, never values
 */
export function parseAnswer<TSchema extends v.GenericSchema>(
  { text }: HttpAnswer,
  schema: TSchema,
  action: string,
): v.InferOutput<TSchema> {
  const json = readJson(text)
  if (json === undefined) throw unreadable(text, action)
  // A hundred thousand wrong items need not all be named.
  const result = v.safeParse(schema, json, { abortEarly: true })
  if (result.success) return result.output
  // An issue's message quotes the value it received, so only its path may leave here; schemas
  // give no names of the service's own to it.
  const at = v.getDotPath(result.issues[0]) ?? '(root)'
  throw new KmsError(`${action} answered an unexpected body at ${at}`, { code: 'protocol' })
}

function unreadable(text: string, action: string): KmsError {
  if (!isModest(text)) {
    const message = `${action} answered JSON that nests deeper or holds more than anything that is asked for: is it the key service that answers?`
    return new KmsError(message, { code: 'protocol' })
  }
  const message = `${action} answered something other than JSON: is there a proxy or another service at this address?`
  return new KmsError(message, { code: 'unavailable' })
}
