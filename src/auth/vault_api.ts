/**
 * One request to Vault or OpenBao: headers, and what each status means. The
 * service's own words only ever decide between codes; they never leave here.
 *
 * @module
 */

import * as v from 'valibot'
import { type HttpAnswer, type HttpClient, parseAnswer } from '../http/client.ts'
import { KmsError, type KmsErrorCode } from '../kms/errors.ts'
import type { Call } from '../kms/provider.ts'

export interface VaultRequest<TSchema extends v.GenericSchema> {
  readonly method: 'GET' | 'POST'
  /** Below `/v1/`. */
  readonly path: string
  readonly token?: string | undefined
  readonly body?: unknown
  readonly schema: TSchema
  /** Statuses whose body `schema` reads; 200 alone where absent. */
  readonly accept?: readonly number[]
}

export interface VaultReply<T> {
  readonly body: T
  readonly serviceTime: number | undefined
}

/** A status that is no answer to the question; `says` tells whether the service's words hold a phrase. */
export class VaultStatusError extends KmsError {
  readonly status: number
  readonly #text: string

  constructor(action: string, { status, text }: HttpAnswer) {
    const { code, why } = meaningOf(status)
    super(`${action} answered ${status}: ${why}`, { code })
    this.status = status
    this.#text = text
  }

  says(phrase: string): boolean {
    return this.#text.includes(phrase)
  }
}

export class VaultApi {
  readonly #http: HttpClient
  readonly #namespace: string | undefined

  constructor(http: HttpClient, namespace: string | undefined) {
    this.#http = http
    this.#namespace = namespace
  }

  /** @throws KmsError; a {@link VaultStatusError} where the service answered another status */
  async request<TSchema extends v.GenericSchema>(
    request: VaultRequest<TSchema>,
    { signal }: Call,
  ): Promise<VaultReply<v.InferOutput<TSchema>>> {
    const { method, token, body, schema, accept = [200] } = request
    const path = `/v1/${request.path}`
    const action = `${method} ${path}`
    // An agent or proxy in between may be set to demand the first header.
    const headers: Record<string, string> = { 'x-vault-request': 'true' }
    if (token !== undefined) headers['x-vault-token'] = token
    if (this.#namespace !== undefined) headers['x-vault-namespace'] = this.#namespace
    const answer = await this.#http.send({ method, path, headers, body, signal })
    if (!accept.includes(answer.status)) throw new VaultStatusError(action, answer)
    // With a bad item in a batch the status is 400 and the body the same; other 400s have no data.
    if (answer.status >= 400 && !hasData(answer)) throw new VaultStatusError(action, answer)
    return { body: parseAnswer(answer, schema, action), serviceTime: answer.serviceTime }
  }
}

const withData = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ data: v.record(v.string(), v.unknown()) }),
)

function hasData({ text }: HttpAnswer): boolean {
  return v.is(withData, text)
}

const MEANINGS: Readonly<Record<number, { code: KmsErrorCode; why: string }>> = {
  400: { code: 'protocol', why: 'it refused the request' },
  401: { code: 'denied', why: 'it refused the token' },
  403: { code: 'denied', why: 'the token or its policy does not allow this' },
  404: { code: 'key_unknown', why: 'there is no such mount, key or namespace' },
  412: { code: 'unavailable', why: 'this node lags behind' },
  413: { code: 'request_invalid', why: 'the request is too long for it' },
  429: { code: 'throttled', why: 'it limits the rate of requests' },
  472: { code: 'unavailable', why: 'this node is a disaster recovery standby' },
  473: { code: 'unavailable', why: 'this node is a performance standby' },
  503: {
    code: 'unavailable',
    why: 'it is sealed, a standby without an active node, or overloaded',
  },
}

function meaningOf(status: number): { code: KmsErrorCode; why: string } {
  const known = MEANINGS[status]
  if (known !== undefined) return known
  if (status >= 500) return { code: 'unavailable', why: 'it failed' }
  if (status >= 300 && status < 400) {
    return { code: 'unavailable', why: 'it is a standby that redirects: name the active node' }
  }
  return { code: 'protocol', why: 'wanted 200' }
}
