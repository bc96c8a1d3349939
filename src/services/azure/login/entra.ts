/**
 * Tokens of Microsoft Entra by the client credentials grant of OAuth 2.0: `POST
 * https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token`, a form, as in
 * learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow. Credentials are
 * sent to the configured authority alone, whatever address a 401 of the key service names.
 *
 * @module
 */

import * as v from 'valibot'
import { KmsError } from '../../../base/errors.ts'
import type { Call } from '../../../base/provider.ts'
import { type HttpAnswer, type HttpClient, parseAnswer } from '../../../remote/http/client.ts'
import { answerJson } from '../../../remote/http/json.ts'
import { passingFailure, type RetryDeps, retryPassing } from '../../../remote/passing_error.ts'
import { RefusedError } from '../../../remote/signing_clock.ts'
import type { Token } from '../../../remote/token_source.ts'

export interface EntraDeps extends RetryDeps {
  readonly authority: HttpClient
  /** The service that the token is for: `https://vault.azure.net`. */
  readonly resource: string
}

/** Of one application in one tenant. */
export interface Application {
  readonly tenantId: string
  readonly clientId: string
}

export const bearer = v.pipe(v.string(), v.regex(/^[\x21-\x7e]+$/))
const tokenAnswer = v.object({
  access_token: bearer,
  expires_in: v.pipe(v.number(), v.finite(), v.minValue(1)),
})
const entraFailure = v.pipe(
  answerJson,
  v.object({
    error: v.string(),
    error_codes: v.optional(v.array(v.pipe(v.number(), v.integer())), []),
  }),
)

/** The audience of an application's assertion. */
export function tokenEndpoint({ authority }: EntraDeps, { tenantId }: Application): string {
  return `${authority.address}${tokenPath(tenantId)}`
}

/** @param secret the proof of who asks: `client_secret`, or `client_assertion` and its type */
export function requestToken(
  deps: EntraDeps,
  { tenantId, clientId }: Application,
  secret: Readonly<Record<string, string>>,
  call: Call,
): Promise<Token> {
  const path = tokenPath(tenantId)
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: clientId,
    scope: `${deps.resource}/.default`,
    ...secret,
  })
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  const request = { method: 'POST', path, headers, body: String(form) } as const
  return retryPassing(
    async () => {
      const answer = await deps.authority.send({ ...request, signal: call.signal })
      if (answer.status !== 200) throw refusal(answer, path)
      const { access_token, expires_in } = parseAnswer(answer, tokenAnswer, `POST ${path}`)
      return { value: access_token, ttlSeconds: expires_in, renewable: false }
    },
    call,
    deps,
  )
}

/** The fields of a request that is proved by a JWT. */
export function assertionForm(jwt: string): Record<string, string> {
  return {
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: jwt,
  }
}

function tokenPath(tenantId: string): string {
  return `/${tenantId}/oauth2/v2.0/token`
}

const NO_FEDERATION =
  'no federated credential of the application fits the token: compare issuer, subject and audience'
const NOT_NOW = 700_024

/**
 * By the number after AADSTS, as in
 * learn.microsoft.com/entra/identity-platform/reference-error-codes.
 */
const REASONS: ReadonlyMap<number, string> = new Map([
  [7_000_215, 'the client secret is wrong: wanted its value, not its id'],
  [7_000_222, 'the client secret has expired: make a new one'],
  [7_000_112, 'the application is disabled'],
  [700_016, 'the tenant has no application with this client id: check tenantId and clientId'],
  [90_002, 'there is no such tenant: check tenantId and cloud'],
  [900_023, 'there is no such tenant: check tenantId and cloud'],
  [700_027, 'the application does not know this certificate: upload it there'],
  [NOT_NOW, 'the assertion is not valid now: check the clock of this node'],
  [70_021, NO_FEDERATION],
  [700_211, NO_FEDERATION],
  [700_212, NO_FEDERATION],
  [700_213, NO_FEDERATION],
  [50_013, 'the assertion is expired, or not of the issuer that the application trusts'],
  [500_011, 'the tenant does not know Key Vault: check tenantId and cloud'],
  [53_003, 'a policy of conditional access forbids it'],
])
/** These errors are temporary, whatever the status. */
const PASSES = new Set(['temporarily_unavailable', 'server_error'])

function refusal(answer: HttpAnswer, path: string): KmsError {
  const { status, address, text } = answer
  const action = `Login at ${address}${path}`
  const failure = v.safeParse(entraFailure, text)
  const passes = failure.success && PASSES.has(failure.output.error)
  const passing = passingFailure(answer, action, passes ? [status] : [])
  if (passing !== undefined) return passing
  if (!failure.success) {
    return new KmsError(
      `${action} answered ${status}, not in the words of Microsoft Entra: is it a proxy in between, or another host?`,
      { code: 'unavailable' },
    )
  }
  const known = failure.output.error_codes.find((code) => REASONS.has(code))
  const [named, why] =
    known === undefined
      ? ['', 'check tenantId, clientId and the credentials']
      : [`, AADSTS${known}`, REASONS.get(known)]
  return new RefusedError(`${action} was refused (${status}${named}): ${why}`, {
    code: 'denied',
    serviceTime: known === NOT_NOW ? answer.serviceTime : undefined,
  })
}
