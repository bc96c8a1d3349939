/**
 * JSON over HTTP for the providers: bounded answers, no redirects, and one place
 * that turns transport failures into {@link KmsError}. What a status means is the
 * caller's business.
 *
 * @module
 */

import * as v from 'valibot'
import { KmsError, type KmsErrorCode, systemCodeOf } from '../kms/errors.ts'
import { partsOfAddress } from './address.ts'
import { type Exchange, exchange } from './exchange.ts'
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
  /** What messages say in place of a path that is nobody's business. */
  readonly shownPath?: string
}

export interface HttpAnswer {
  readonly status: number
  /** Who answered. */
  readonly address: string
  /** The service's clock in milliseconds since the epoch, by its `Date` header. */
  readonly serviceTime: number | undefined
  /** One header by its name in lower case. */
  readonly header: (name: string) => string | undefined
  /** Read it with {@link parseAnswer} alone: it may hold secrets. */
  readonly text: string
}

/** The connection went away under the request, as an idle one does when the service restarts. */
const STALE = new Set([
  'UND_ERR_SOCKET',
  'ECONNRESET',
  'EPIPE',
  'UND_ERR_CLOSED',
  'UND_ERR_DESTROYED',
])
/** What a certificate or an authority that was replaced looks like. */
const TLS_FAULT = /CERT|SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET)|^ERR_(?:TLS|SSL)|^EPROTO$/

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
   * A request that met a dying connection is sent once more; so is one that met a
   * certificate it does not trust, where files have changed since they were read.
   *
   * @throws KmsError `unavailable`, `protocol`, or the reason of the signal
   */
  async send(request: HttpRequest): Promise<HttpAnswer> {
    try {
      return await this.#once(request)
    } catch (error) {
      if (!(await this.#mayHelp(request, error))) throw this.#translate(request, error)
    }
    try {
      return await this.#once(request)
    } catch (error) {
      throw this.#translate(request, error)
    }
  }

  async #mayHelp({ signal, repeatable = true }: HttpRequest, error: unknown): Promise<boolean> {
    if (signal.aborted) return false
    const code = systemCodeOf(error) ?? ''
    if (TLS_FAULT.test(code)) return await this.#transport.refresh()
    return repeatable && STALE.has(code)
  }

  async #once({ method, path, headers, body, signal }: HttpRequest): Promise<HttpAnswer> {
    const dispatcher = await this.#transport.dispatcher(this.address)
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
    const { code, why } = sayTransport(systemCodeOf(error))
    // A query may hold what nobody else should see.
    const shown = shownPath ?? path.replace(/\?.*/s, '')
    const message = `${method} ${shown} got no answer from ${this.address}: ${why}`
    return new KmsError(message, { code, cause: error })
  }
}

const anyJson = v.pipe(v.string(), v.parseJson())

/**
 * The answer's JSON as `schema` reads it.
 *
 * @throws KmsError `protocol` that names places, never values
 */
export function parseAnswer<TSchema extends v.GenericSchema>(
  { text }: HttpAnswer,
  schema: TSchema,
  action: string,
): v.InferOutput<TSchema> {
  const json = v.safeParse(anyJson, text)
  if (!json.success) {
    const message = `${action} answered something other than JSON: is there a proxy or another service at this address?`
    throw new KmsError(message, { code: 'protocol' })
  }
  const result = v.safeParse(schema, json.output)
  if (result.success) return result.output
  // An issue's message quotes the value it received, so only its path may leave here.
  const at = result.issues.map((issue) => v.getDotPath(issue) ?? '(root)').join(', ')
  throw new KmsError(`${action} answered an unexpected body at ${at}`, { code: 'protocol' })
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused, so nothing listens there',
  ECONNRESET: 'connection reset',
  EPIPE: 'connection reset',
  UND_ERR_SOCKET: 'connection closed by the service',
  UND_ERR_CONNECT_TIMEOUT: 'no connection in time',
  ETIMEDOUT: 'no connection in time',
  ENOENT: 'no such socket: is the agent running?',
  EACCES: 'this process may not open the socket',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
  ENOTFOUND: 'the name does not resolve: check the address and the resolver of the node',
  EAI_AGAIN: 'the name does not resolve now: check the resolver of the node',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name: check tls.serverName',
  CERT_HAS_EXPIRED: 'its certificate has expired',
}

function sayTransport(errno: string | undefined): { code: KmsErrorCode; why: string } {
  const known = REASONS[errno ?? '']
  if (known !== undefined) return { code: 'unavailable', why: known }
  if (TLS_FAULT.test(errno ?? '')) {
    return {
      code: 'unavailable',
      why: 'its certificate is not trusted, or it does not trust ours: check tls.caFile and tls.certFile',
    }
  }
  return { code: 'unavailable', why: errno ?? 'the connection failed; with https check tls.caFile' }
}
