/**
 * One request to a Google API, and what its status means. Google's own words only decide between
 * codes, and are never passed on.
 *
 * Errors: https://cloud.google.com/apis/design/errors (`error.status`, `error.details`); those of
 * the Security Token Service are OAuth's (RFC 6749, section 5.2).
 *
 * @module
 */

import * as v from 'valibot'
import { type FailureMeaning, KmsError } from '../../base/errors.ts'
import type { Call } from '../../base/provider.ts'
import { type HttpAnswer, type HttpClient, parseAnswer } from '../../remote/http/client.ts'
import { answerJson } from '../../remote/http/json.ts'

export interface GoogleRequest<TSchema extends v.GenericSchema> {
  /** Includes the query, if any. */
  readonly path: string
  readonly token?: string | undefined
  readonly headers?: Readonly<Record<string, string>>
  /** With a body the request is a POST. */
  readonly json?: unknown
  readonly form?: Readonly<Record<string, string>>
  readonly schema: TSchema
}

export interface GoogleReply<T> {
  readonly body: T
  readonly serviceTime: number | undefined
  readonly header: HttpAnswer['header']
}

/** @throws KmsError; a {@link GoogleStatusError} where the service answered another status than 200 */
export async function askGoogle<TSchema extends v.GenericSchema>(
  client: HttpClient,
  { path, token, headers: more, json, form, schema }: GoogleRequest<TSchema>,
  { signal }: Call,
): Promise<GoogleReply<v.InferOutput<TSchema>>> {
  const headers: Record<string, string> = { ...more }
  if (token !== undefined) headers['authorization'] = `Bearer ${token}`
  if (form !== undefined) headers['content-type'] = 'application/x-www-form-urlencoded'
  const body = form === undefined ? JSON.stringify(json) : String(new URLSearchParams(form))
  const method = body === undefined ? 'GET' : 'POST'
  const answer = await client.send({ method, path, headers, body, signal })
  const action = `${method} ${path.replace(/\?.*/s, '')}`
  if (answer.status !== 200) throw new GoogleStatusError(action, answer)
  const { serviceTime, header } = answer
  return { body: parseAnswer(answer, schema, action), serviceTime, header }
}

const text = v.fallback(v.string(), '')
const detail = v.object({
  reason: text,
  violations: v.fallback(v.array(v.object({ type: text })), []),
})
const errorBody = v.pipe(
  answerJson,
  v.object({
    error: v.union([
      v.string(),
      v.object({ status: text, message: text, details: v.fallback(v.array(detail), []) }),
    ]),
  }),
)

/** A status that does not answer the request. */
export class GoogleStatusError extends KmsError {
  readonly status: number
  /** `PERMISSION_DENIED`, `invalid_grant`; empty where the answer does not come from Google. */
  readonly state: string
  /** `SERVICE_DISABLED`, `KEY_DISABLED`. */
  readonly reasons: ReadonlySet<string>
  readonly serviceTime: number | undefined
  readonly #words: string

  constructor(action: string, { status, text: body, address, serviceTime }: HttpAnswer) {
    const parsed = v.safeParse(errorBody, body)
    const error = parsed.success ? parsed.output.error : undefined
    const { code, why } = meaningOf(status, error !== undefined)
    super(`${action} at ${address} answered ${status}: ${why}`, { code })
    const known =
      typeof error === 'object' ? error : { status: error ?? '', message: '', details: [] }
    this.status = status
    this.state = known.status
    this.reasons = new Set(
      known.details.flatMap(({ reason, violations }) => [
        reason,
        ...violations.map(({ type }) => type),
      ]),
    )
    this.serviceTime = serviceTime
    this.#words = known.message
  }

  says(phrase: string): boolean {
    return this.#words.includes(phrase)
  }
}

/** Overload and outages that may pass while a request still has time. */
const PASSING: ReadonlySet<number> = new Set([429, 500, 502, 503, 504])

export function mayPass(error: unknown): boolean {
  return error instanceof GoogleStatusError && PASSING.has(error.status)
}

const MEANINGS: Readonly<Record<number, FailureMeaning>> = {
  400: { code: 'protocol', why: 'it refused the request' },
  401: { code: 'denied', why: 'it refused the token' },
  403: { code: 'denied', why: 'the account may not do this' },
  404: { code: 'key_unknown', why: 'there is no such thing' },
  429: { code: 'throttled', why: 'a quota is used up' },
}

function meaningOf(status: number, inGooglesWords: boolean): FailureMeaning {
  if (status < 500 && status !== 429 && !inGooglesWords) {
    const why = "not in Google's words: is there a proxy in between, or is the endpoint wrong?"
    return { code: 'unavailable', why }
  }
  const known = MEANINGS[status]
  if (known !== undefined) return known
  if (status >= 500) return { code: 'unavailable', why: 'it failed' }
  return { code: 'protocol', why: 'wanted 200' }
}
