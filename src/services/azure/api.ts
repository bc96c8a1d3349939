/**
 * The key operations of Key Vault and Managed HSM, and what their failures mean:
 * `https://{vault}.vault.azure.net/keys/{name}/…?api-version=7.4` with a bearer token, as in
 * learn.microsoft.com/rest/api/keyvault/keys/operation-groups and
 * learn.microsoft.com/azure/key-vault/general/rest-error-codes. Every cloud has version 7.4.
 *
 * @module
 */

import * as v from 'valibot'
import { type FailureMeaning, KmsError, type KmsErrorCode } from '../../base/errors.ts'
import type { Call } from '../../base/provider.ts'
import { type HttpAnswer, type HttpClient, parseAnswer } from '../../remote/http/client.ts'
import { answerJson } from '../../remote/http/json.ts'
import { passingFailure, type RetryDeps, retryPassing } from '../../remote/passing_error.ts'
import type { TokenSource } from '../../remote/token_source.ts'

const API_VERSION = 'api-version=7.4'

/** The purpose of a request; permissions have the same names. */
type Operation = 'list' | 'get' | 'encrypt' | 'decrypt'

interface KeyRequest<TSchema extends v.GenericSchema> {
  readonly operation: Operation
  /** Includes the query, for a page after the first. */
  readonly path: string
  readonly body?: object
  readonly schema: TSchema
}

export interface KeyReply<T> {
  readonly body: T
  readonly serviceTime: number | undefined
}

interface KeyApiDeps extends RetryDeps {
  readonly http: HttpClient
  readonly tokens: TokenSource
  /** Who grants the permissions that the operations need, for messages. */
  readonly permissions: string
}

export class KeyApi {
  readonly #deps: KeyApiDeps

  constructor(deps: KeyApiDeps) {
    this.#deps = deps
  }

  /** @throws KmsError; `denied` only after a fresh login */
  async request<TSchema extends v.GenericSchema>(
    request: KeyRequest<TSchema>,
    call: Call,
  ): Promise<KeyReply<v.InferOutput<TSchema>>> {
    return await this.#deps.tokens.run(
      (token) => retryPassing(() => this.#send(request, token, call), call, this.#deps),
      call,
    )
  }

  async #send<TSchema extends v.GenericSchema>(
    { operation, path, body, schema }: KeyRequest<TSchema>,
    token: string | undefined,
    { signal }: Call,
  ): Promise<KeyReply<v.InferOutput<TSchema>>> {
    const method = body === undefined ? 'GET' : 'POST'
    const answer = await this.#deps.http.send({
      method,
      path: path.includes('?') ? path : `${path}?${API_VERSION}`,
      headers: { authorization: `Bearer ${token}`, accept: 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
    })
    const action = `${method} ${path.replace(/\?.*/s, '')}`
    if (answer.status !== 200) throw failure(answer, action, operation, this.#deps.permissions)
    return { body: parseAnswer(answer, schema, action), serviceTime: answer.serviceTime }
  }
}

const AWAY: KmsErrorCode = 'unavailable'
const GONE: KmsErrorCode = 'key_unavailable'

/** By the code inside the error, or by its words where services use different codes. */
const REFUSALS: readonly (readonly [said: RegExp, meaning: FailureMeaning])[] = [
  [/\bForbiddenByFirewall\b/, { code: AWAY, why: 'its firewall does not let this node in' }],
  [
    /\bForbiddenByConnection\b/,
    { code: AWAY, why: 'it takes requests over its private endpoint alone: check DNS and routes' },
  ],
  [/\bKeyDisabled\b|disabled key/, { code: GONE, why: 'the key version is disabled: enable it' }],
  [
    /\bKeyExpired\b|\bexpired key\b|key (?:has|is) expired/,
    { code: GONE, why: 'the key version has expired: move its expiry, or make a new version' },
  ],
  [
    /\bKeyNotYetValid\b|not yet valid/,
    { code: GONE, why: 'the key version is not valid yet: see its activation date' },
  ],
  [
    /\bKeyOperationForbidden\b/,
    { code: GONE, why: 'the key does not allow this: its operations need encrypt and decrypt' },
  ],
  [
    /\bObjectIs(?:DeletedButRecoverable|BeingDeleted|BeingRecovered)\b/,
    { code: GONE, why: 'the key is deleted: recover it' },
  ],
  [
    /\bAKV10032\b/,
    {
      code: 'denied',
      why: "the token is of another tenant than the vault's: check login.tenantId",
    },
  ],
  [/\bAKV10022\b/, { code: 'denied', why: 'the token is for another service: check cloud' }],
]

const keyFailure = v.pipe(
  answerJson,
  v.object({
    error: v.object({
      code: v.optional(v.string(), ''),
      message: v.optional(v.string(), ''),
      innererror: v.nullish(v.object({ code: v.optional(v.string(), '') })),
    }),
  }),
)

function failure(
  answer: HttpAnswer,
  action: string,
  operation: Operation,
  permissions: string,
): KmsError {
  const where = `${action} at ${answer.address}`
  const passing = passingFailure(answer, where)
  if (passing !== undefined) return passing
  const { code, why } = meaningOf(answer, operation, permissions)
  return new KmsError(`${where} answered ${answer.status}: ${why}`, { code })
}

function meaningOf(answer: HttpAnswer, operation: Operation, permissions: string): FailureMeaning {
  const words = wordsOf(answer)
  if (words === undefined) {
    return {
      code: AWAY,
      why: 'not in the words of Key Vault: is it a proxy or gateway in between?',
    }
  }
  const known = REFUSALS.find(([said]) => said.test(words))?.[1]
  return known ?? byStatus(answer.status, operation, permissions)
}

function byStatus(status: number, operation: Operation, permissions: string): FailureMeaning {
  switch (status) {
    case 400:
      return operation === 'decrypt'
        ? {
            code: 'ciphertext_invalid',
            why: 'it refused the ciphertext, which is damaged, or of another key or envelope',
          }
        : { code: 'protocol', why: 'it refused the request: see that type and size of the key fit' }
    case 401:
      return { code: 'denied', why: 'it refused the token' }
    case 403:
      return { code: 'denied', why: `this needs the permission keys/${operation}: ${permissions}` }
    case 404:
      return operation === 'list'
        ? { code: 'key_unknown', why: 'there is no such key' }
        : { code: GONE, why: 'there is no such key version, or the key is deleted: recover it' }
    default:
      return { code: 'protocol', why: 'wanted 200' }
  }
}

/**
 * The service's message, in which phrases are searched; undefined where the answer does not come
 * from the service.
 */
function wordsOf({ text, header }: HttpAnswer): string | undefined {
  const said = v.safeParse(keyFailure, text)
  if (said.success) {
    const { code, message, innererror } = said.output.error
    return `${code} ${innererror?.code ?? ''} ${message}`
  }
  // A challenge may come without a body. The address that it names is not trusted.
  return header('www-authenticate')?.startsWith('Bearer') === true ? '' : undefined
}
