/**
 * One request to Vault or OpenBao: its headers, and what each status means. The service's own words
 * only decide between codes, and are never passed on.
 *
 * @module
 */

import * as v from 'valibot'
import { type FailureMeaning, KmsError } from '../../base/errors.ts'
import type { Call } from '../../base/provider.ts'
import { type HttpAnswer, parseAnswer } from '../../remote/http/client.ts'
import { answerJson } from '../../remote/http/json.ts'
import type { ClusterRequest } from './cluster.ts'
import { isDrSecondary, isLagging } from './node.ts'

export interface VaultRequest<TSchema extends v.GenericSchema> {
  readonly method: 'GET' | 'POST'
  /** Below `/v1/`. */
  readonly path: string
  readonly token?: string | undefined
  readonly body?: unknown
  readonly schema: TSchema
  /**
   * Statuses whose body `schema` reads; 200 alone where absent. The empty body of a 204 is read as
   * `{}`.
   */
  readonly accept?: readonly number[]
  /** False where the service must not get the request twice. */
  readonly repeatable?: boolean
}

/** Sends requests to the service: a {@link VaultCluster}, except in tests. */
interface VaultSender {
  send(request: ClusterRequest, call: Call): Promise<HttpAnswer>
}

export interface VaultReply<T> {
  readonly body: T
  readonly serviceTime: number | undefined
  /** True where an agent or proxy in between keeps answers, and may give this one to others too. */
  readonly cached: boolean
}

const NO_CONTENT = 204

/**
 * A status that does not answer the request; `says` tells whether the service's words contain a
 * phrase.
 */
export class VaultStatusError extends KmsError {
  readonly status: number
  /** True where something in between answered, which knows nothing of tokens, paths and keys. */
  readonly foreign: boolean
  readonly serviceTime: number | undefined
  readonly #text: string

  constructor(action: string, { status, text, address, serviceTime }: HttpAnswer) {
    const foreign = isForeign(status, text)
    const { code, why } = foreign ? foreignMeaning(text) : meaningOf(status, text)
    super(`${action} at ${address} answered ${status}: ${why}`, { code })
    this.status = status
    this.foreign = foreign
    this.serviceTime = serviceTime
    this.#text = text
  }

  says(phrase: string): boolean {
    return this.#text.includes(phrase)
  }
}

export class VaultApi {
  readonly #sender: VaultSender
  readonly #namespace: string | undefined

  /** @param namespace of all requests of this client; undefined or `root` for none */
  constructor(sender: VaultSender, namespace: string | undefined) {
    this.#sender = sender
    this.#namespace = namespace === 'root' ? undefined : namespace
  }

  /** @throws KmsError; a {@link VaultStatusError} where the service answered another status */
  async request<TSchema extends v.GenericSchema>(
    request: VaultRequest<TSchema>,
    call: Call,
  ): Promise<VaultReply<v.InferOutput<TSchema>>> {
    const { method, token, body, schema, accept = [200], repeatable = true } = request
    const path = `/v1/${request.path}`
    const action = `${method} ${path}`
    // An agent or proxy in between may be configured to require the first header.
    const headers: Record<string, string> = { 'x-vault-request': 'true' }
    if (token !== undefined) headers['x-vault-token'] = token
    if (this.#namespace !== undefined) headers['x-vault-namespace'] = this.#namespace
    const text = body === undefined ? undefined : JSON.stringify(body)
    const answer = await this.#sender.send({ method, path, headers, body: text, repeatable }, call)
    if (!accept.includes(answer.status)) throw new VaultStatusError(action, answer)
    // With a bad item in a batch, the status is 400 and the body is the same; other answers with
    // 400 have no data.
    if (answer.status >= 400 && !hasData(answer)) throw new VaultStatusError(action, answer)
    const read = answer.status === NO_CONTENT ? { ...answer, text: '{}' } : answer
    const { serviceTime, header } = answer
    // A cache miss counts as well: the agent will give to others what it has now.
    const cached = header('x-cache') !== undefined
    return { body: parseAnswer(read, schema, action), serviceTime, cached }
  }
}

const withData = v.pipe(answerJson, v.object({ data: v.record(v.string(), v.unknown()) }))

function hasData({ text }: HttpAnswer): boolean {
  return v.is(withData, text)
}

const LAGGING = 412
const DR_SECONDARY = 472
const MEANINGS: Readonly<Record<number, FailureMeaning>> = {
  400: { code: 'protocol', why: 'it refused the request' },
  401: { code: 'denied', why: 'it refused the token' },
  403: {
    code: 'denied',
    why: 'the token or its policy does not allow this, or there is no such mount or key in this namespace',
  },
  404: { code: 'key_unknown', why: 'there is no such mount, key or namespace' },
  [LAGGING]: { code: 'unavailable', why: 'this node lags behind the others' },
  413: { code: 'request_invalid', why: 'the request is too long for it' },
  429: { code: 'throttled', why: 'it limits the rate of requests' },
  [DR_SECONDARY]: {
    code: 'unavailable',
    why: 'this node is a disaster recovery secondary, which serves nothing',
  },
  473: { code: 'unavailable', why: 'this node is a performance standby' },
  474: { code: 'unavailable', why: 'this node is a standby that does not reach the active one' },
  501: { code: 'unavailable', why: 'it is not initialised' },
  530: { code: 'unavailable', why: 'this node was removed from its cluster' },
}

/** Reasons that a 503 can give in its body. */
const UNAVAILABLE: readonly (readonly [phrase: string, why: string])[] = [
  ['namespace is sealed', 'the namespace is sealed: unseal it'],
  ['sealed', 'it is sealed: unseal it'],
  ['locked', 'the namespace is locked'],
  ['overloaded', 'it is overloaded'],
  ['active', 'it is a standby that does not reach the active node'],
]

/** Statuses below 500 that mean the same whoever answers. */
const OF_ANYBODY: ReadonlySet<number> = new Set([LAGGING, 413, 429, DR_SECONDARY, 473, 474])
const vaultWords = v.pipe(
  answerJson,
  v.union([
    v.object({ errors: v.nullable(v.array(v.string())) }),
    v.object({ request_id: v.string() }),
  ]),
)

/** Translates special cases into the status that other servers use for the same. */
function plainStatus(status: number, text: string): number {
  if (isDrSecondary({ status, text })) return DR_SECONDARY
  return isLagging({ status, text }) ? LAGGING : status
}

const FOREIGN: FailureMeaning = {
  code: 'unavailable',
  why: 'not in the words of Vault or OpenBao: is it a proxy, a load balancer or a login page in between, or a wrong path in the address?',
}

/** How servers in Go, nginx and Apache say that they expect TLS. */
const WANTS_TLS = /HTTP request (?:was sent )?to (?:an )?HTTPS|speaking plain HTTP to an SSL/

function foreignMeaning(text: string): FailureMeaning {
  if (!WANTS_TLS.test(text)) return FOREIGN
  return { code: 'unavailable', why: 'it speaks TLS there: write https:// in the address' }
}

function isForeign(status: number, text: string): boolean {
  return status < 500 && !OF_ANYBODY.has(status) && !v.is(vaultWords, text)
}

function meaningOf(status: number, text: string): FailureMeaning {
  if (status === 404 && text.includes('namespace not found')) {
    return { code: 'key_unknown', why: 'there is no such namespace: check namespace' }
  }
  const known = MEANINGS[plainStatus(status, text)]
  if (known !== undefined) return known
  if (status === 503) {
    const said = UNAVAILABLE.find(([phrase]) => text.includes(phrase))
    return { code: 'unavailable', why: said?.[1] ?? 'it does not serve now' }
  }
  if (status >= 500) return { code: 'unavailable', why: 'it failed' }
  return { code: 'protocol', why: 'wanted 200' }
}
