/** The metadata server, the Security Token Service and the IAM Credentials API. @module */

import * as v from 'valibot'
import { type FakeAccounts, SCOPES } from './accounts.ts'
import { errorInfo, failure, oauthFailure, ok, type Reply } from './reply.ts'
import type { Request } from './request.ts'

export const POOL =
  '//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/k8s/providers/prod'
export const FEDERATED = 'principal://iam.googleapis.com/subject/system:serviceaccount:kube-system'

export interface LoginState {
  readonly accounts: FakeAccounts
  readonly now: () => number
  /** The account of the instance; undefined for an instance without one. */
  instanceAccount: string | undefined
  /** What the metadata server names itself in its answers. */
  flavor: string
  /** Life of every token that is given out, in seconds. */
  tokenSeconds: number
  /** The only subject token that is exchanged. */
  subjectToken: string
  /** Who may act as whom: `asker>target`, or `asker>delegate>target`. */
  readonly mayActAs: Set<string>
}

export function metadata({ method, path, headers }: Request, state: LoginState): Reply {
  const flavored = { 'metadata-flavor': state.flavor, server: 'Metadata Server for VM' }
  if (method !== 'GET' || headers['metadata-flavor'] !== 'Google') return plain(403, flavored)
  if (headers['x-forwarded-for'] !== undefined || headers.via !== undefined)
    return plain(403, flavored)
  const account = /^\/computeMetadata\/v1\/instance\/service-accounts\/([^/]+)\/token$/.exec(
    path,
  )?.[1]
  const known = account === 'default' || account === state.instanceAccount
  if (state.instanceAccount === undefined || !known) return plain(404, flavored)
  const expires_in = state.tokenSeconds
  const access_token = state.accounts.issue(state.instanceAccount, SCOPES.platform, expires_in)
  return ok({ access_token, expires_in, token_type: 'Bearer' }, flavored)
}

const exchange = v.strictObject({
  grant_type: v.literal('urn:ietf:params:oauth:grant-type:token-exchange'),
  audience: v.literal(POOL),
  scope: v.picklist([SCOPES.cloudkms, SCOPES.platform]),
  requested_token_type: v.literal('urn:ietf:params:oauth:token-type:access_token'),
  subject_token: v.string(),
  subject_token_type: v.literal('urn:ietf:params:oauth:token-type:jwt'),
})

export function sts({ method, headers, text }: Request, state: LoginState): Reply {
  const form = headers['content-type'] === 'application/x-www-form-urlencoded'
  if (method !== 'POST' || !form || headers.authorization !== undefined) {
    return oauthFailure(400, 'invalid_request')
  }
  const result = v.safeParse(exchange, Object.fromEntries(new URLSearchParams(text)))
  if (!result.success) return oauthFailure(400, 'invalid_request')
  if (result.output.subject_token !== state.subjectToken) return oauthFailure(400, 'invalid_grant')
  const expires_in = state.tokenSeconds
  const access_token = state.accounts.issue(FEDERATED, result.output.scope, expires_in)
  const issued_token_type = result.output.requested_token_type
  return ok({ access_token, issued_token_type, token_type: 'Bearer', expires_in })
}

const generate = v.strictObject({
  scope: v.tuple([v.picklist([SCOPES.cloudkms, SCOPES.platform])]),
  lifetime: v.pipe(v.string(), v.regex(/^\d+s$/)),
  delegates: v.optional(
    v.array(v.pipe(v.string(), v.regex(/^projects\/-\/serviceAccounts\/[^/]+$/))),
    [],
  ),
})

export function iamCredentials({ path, headers, json }: Request, state: LoginState): Reply {
  const asker = state.accounts.whoIs(headers.authorization, 'iamcredentials')
  if (asker === undefined)
    return failure(401, 'UNAUTHENTICATED', 'Request had invalid credentials.')
  const target = /\/serviceAccounts\/([^/:]+):generateAccessToken$/.exec(path)?.[1] ?? ''
  const result = v.safeParse(generate, json)
  if (!result.success)
    return failure(400, 'INVALID_ARGUMENT', 'Request contains an invalid argument.')
  const { scope, lifetime, delegates } = result.output
  const chain = [asker, ...delegates.map((name) => name.split('/').at(-1)), target].join('>')
  if (!state.mayActAs.has(chain)) {
    const message = "Permission 'iam.serviceAccounts.getAccessToken' denied (or it may not exist)."
    return failure(403, 'PERMISSION_DENIED', message, [errorInfo('IAM_PERMISSION_DENIED')])
  }
  const seconds = Math.min(Number.parseInt(lifetime, 10), state.tokenSeconds)
  const accessToken = state.accounts.issue(target, scope[0], seconds)
  const expireTime = new Date(state.now() + seconds * 1000).toISOString().replace(/\.\d+/, '')
  return ok({ accessToken, expireTime })
}

function plain(status: number, headers: Readonly<Record<string, string>>): Reply {
  return { status, body: `Error ${status}`, headers }
}
