/**
 * JSON over HTTP for the providers: bounded answers, no redirects, and one place
 * that turns transport failures into {@link KmsError}. What a status means is the
 * caller's business.
 *
 * @module
 */

// `fetch` and the dispatcher must be of one undici: Node's built-in fetch
// rejects the Agent of another version, and Deno's ignores it.
import { fetch, type Response } from 'undici'
import * as v from 'valibot'
import { KmsError, type KmsErrorCode, systemCodeOf } from '../kms/errors.ts'
import type { Transport } from './transport.ts'

export interface HttpRequest {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: unknown
  /** Its reason is what the call rejects with. */
  readonly signal: AbortSignal
}

export interface HttpAnswer {
  readonly status: number
  /** The service's clock in milliseconds since the epoch, by its `Date` header. */
  readonly serviceTime: number | undefined
  /** Read it with {@link parseAnswer} alone: it may hold secrets. */
  readonly text: string
}

/** A batch of 128 items is about 40 kB; nothing that is asked for comes near this. */
const MAX_ANSWER_BYTES = 4_194_304

/** The connection went away under the request, as an idle one does when the service restarts. */
const STALE = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'])

export class HttpClient {
  readonly #baseUrl: string
  readonly #transport: Transport

  /** @param baseUrl scheme, host and port */
  constructor(baseUrl: string, transport: Transport) {
    this.#baseUrl = baseUrl
    this.#transport = transport
  }

  /**
   * Every request here may safely be repeated, so one that met a dying connection is.
   *
   * @throws KmsError `unavailable`, `protocol`, or the reason of the signal
   */
  async send(request: HttpRequest): Promise<HttpAnswer> {
    try {
      return await this.#once(request)
    } catch (error) {
      if (request.signal.aborted || !STALE.has(systemCodeOf(error) ?? ''))
        throw this.#translate(request, error)
    }
    try {
      return await this.#once(request)
    } catch (error) {
      throw this.#translate(request, error)
    }
  }

  async #once({ method, path, headers, body, signal }: HttpRequest): Promise<HttpAnswer> {
    const dispatcher = await this.#transport.dispatcher()
    const response = await fetch(new URL(path, this.#baseUrl), {
      method,
      headers: body === undefined ? headers : { ...headers, 'content-type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
      dispatcher,
      signal,
      // A redirect would resend the token to a host that the operator never named.
      redirect: 'manual',
    })
    const text = await readText(response)
    const date = Date.parse(response.headers.get('date') ?? '')
    return { status: response.status, serviceTime: Number.isNaN(date) ? undefined : date, text }
  }

  #translate({ method, path, signal }: HttpRequest, error: unknown): KmsError {
    if (signal.aborted && signal.reason instanceof KmsError) return signal.reason
    if (error instanceof KmsError) return error
    const { code, why } = sayTransport(systemCodeOf(error))
    const message = `${method} ${path} got no answer from ${this.#baseUrl}: ${why}`
    return new KmsError(message, { code, cause: error })
  }
}

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
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), schema), text)
  if (result.success) return result.output
  // An issue's message quotes the value it received, so only its path may leave here.
  const at = result.issues.map((issue) => v.getDotPath(issue) ?? '(root)').join(', ')
  throw new KmsError(`${action} answered an unexpected body at ${at}`, { code: 'protocol' })
}

async function readText(response: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength
    if (bytes > MAX_ANSWER_BYTES) {
      throw new KmsError(`Answer is longer than ${MAX_ANSWER_BYTES} bytes`, { code: 'protocol' })
    }
    text += decoder.decode(chunk, { stream: true })
  }
  return text + decoder.decode()
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused, so nothing listens there',
  ECONNRESET: 'connection reset',
  EPIPE: 'connection reset',
  UND_ERR_SOCKET: 'connection closed by the service',
  UND_ERR_CONNECT_TIMEOUT: 'no connection in time',
  ETIMEDOUT: 'no connection in time',
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
  if (/CERT|SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET)/.test(errno ?? '')) {
    return { code: 'unavailable', why: 'its certificate is not trusted: check tls.caFile' }
  }
  return { code: 'unavailable', why: errno ?? 'the connection failed; with https check tls.caFile' }
}
