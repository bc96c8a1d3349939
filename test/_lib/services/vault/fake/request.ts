/** A request as the fake read it, and the server's checks of its JSON. @module */

import type { IncomingHttpHeaders } from 'node:http'
import { failure, type JsonObject, type Reply } from './reply.ts'

export interface VaultRequest {
  readonly method: string
  /** Below `/v1/`, without the query. */
  readonly path: string
  /** Whether it asks for something below `/v1/` at all. */
  readonly inside: boolean
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  /** Each `X-Vault-Inconsistent` on its own line is a choice of its own. */
  readonly inconsistent: readonly string[]
  readonly text: string
}

export interface Limits {
  /** Of strings in a request's JSON, keys and values alike. */
  readonly strings: number
  readonly bodyBytes: number
}

/** OpenBao's own. */
export const USUAL_LIMITS: Limits = { strings: 1000, bodyBytes: 33_554_432 }

export function headerOf({ headers }: VaultRequest, name: string): string | undefined {
  const value = headers[name]
  return Array.isArray(value) ? value[0] : value
}

/** The JSON of a request, or what the server says where it is none that it takes. */
export function readBody(
  { method, text }: VaultRequest,
  limits: Limits,
): { readonly body: JsonObject } | { readonly refusal: Reply } {
  if (!(method === 'POST' || method === 'PUT') || text === '') return { body: {} }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return refusal(`failed to decode JSON input: ${syntaxFault(text)}`)
  }
  if (!isObject(value)) {
    const type = Array.isArray(value) ? 'array' : typeof value
    return refusal(
      `failed to decode JSON input: json: cannot unmarshal ${type} into Go value of type map[string]interface {}`,
    )
  }
  if (countStrings(value) > limits.strings) {
    return refusal('refused JSON input due to high complexity: exceeded maximum number of strings')
  }
  return { body: value }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** How Go names a JSON value that it cannot take. */
export function goType(value: unknown): string {
  if (Array.isArray(value)) return '[]interface {}'
  if (isObject(value)) return 'map[string]interface {}'
  if (typeof value === 'number') return 'json.Number'
  return typeof value === 'boolean' ? 'bool' : 'string'
}

/** How many items a batch asks for, 1 where it is no batch, 0 where nothing can be told. */
export function itemCount(text: string): number {
  try {
    const value: unknown = JSON.parse(text)
    if (!isObject(value)) return 0
    const batch = value['batch_input']
    return Array.isArray(batch) ? batch.length : 1
  } catch {
    return 0
  }
}

function refusal(text: string): { readonly refusal: Reply } {
  return { refusal: failure(400, text) }
}

/** Keys count as well as values, as OpenBao counts them. */
function countStrings(value: unknown): number {
  if (typeof value === 'string') return 1
  if (Array.isArray(value)) return value.reduce((sum: number, one) => sum + countStrings(one), 0)
  if (!isObject(value)) return 0
  return Object.values(value).reduce((sum: number, one) => sum + 1 + countStrings(one), 0)
}

/** Go's words for JSON that ends early, and for JSON that is wrong at some character. */
function syntaxFault(text: string): string {
  const first = text.trimStart().at(0) ?? ''
  if ('{["'.includes(first)) return 'unexpected EOF'
  return `invalid character '${first}' looking for beginning of value`
}
