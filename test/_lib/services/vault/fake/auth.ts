/** Logins by AppRole, and a token's own lookup, renewal and end. @module */

import { failure, ignoredFields, type JsonObject, type Reply, success } from './reply.ts'
import { goType } from './request.ts'
import { issueToken, type Role, type State, type Token } from './state.ts'

/** So many refused logins lock the role, as both servers do since they know of lockouts. */
const LOCKOUT_AFTER = 5
/** Where a role names no end, the server's own. */
const SYSTEM_MAX_TTL = 2_764_800

const LOGIN_FIELDS = ['role_id', 'secret_id'] as const

interface LoginAttempt {
  /** `auth/approle` */
  readonly mount: string
  readonly body: JsonObject
  /** Which writes the node has seen: a node that lags refuses a new secret id. */
  readonly upTo: number
}

/** The role that the credentials are good for, or the refusal. */
export function checkApprole(
  state: State,
  { mount, body, upTo }: LoginAttempt,
): { readonly role: Role } | { readonly refusal: Reply } {
  const malformed = malformedLogin(body)
  if (malformed !== undefined) return { refusal: malformed }
  const role = state.roles.get(`${mount}/${String(body['role_id'])}`)
  const refusal = failure(400, 'invalid role or secret ID')
  if (role === undefined) return { refusal }
  if (role.refusals >= LOCKOUT_AFTER) return { refusal: failure(403, 'permission denied') }
  const madeAt = role.secretIds.get(String(body['secret_id'])) ?? Number.POSITIVE_INFINITY
  const known = Number.isFinite(madeAt) && madeAt <= upTo
  role.refusals = known ? 0 : role.refusals + 1
  return known ? { role } : { refusal }
}

export function loginByApprole(state: State, role: Role, body: JsonObject): Reply {
  const auth = authOf(issueToken(state, role), role.tokenTtl)
  return success({ auth }, { warnings: ignoredFields(body, LOGIN_FIELDS) })
}

function malformedLogin(body: JsonObject): Reply | undefined {
  const wrong = LOGIN_FIELDS.find((name) => goType(body[name] ?? '').includes('interface'))
  if (wrong !== undefined) {
    return failure(
      500,
      `Field validation failed: error converting input for field "${wrong}": '' expected type 'string', got unconvertible type '${goType(body[wrong])}'`,
    )
  }
  if (String(body['role_id'] ?? '') === '') return failure(500, 'missing role_id')
  return String(body['secret_id'] ?? '') === '' ? failure(400, 'missing secret_id') : undefined
}

export function lookupSelf(state: State, token: Token): Reply {
  const { role, value, accessor, issuedAt, expiresAt } = token
  const ends = Number.isFinite(expiresAt)
  const batch = role?.tokenType === 'batch'
  return success({
    data: {
      accessor,
      creation_time: Math.floor(issuedAt / 1000),
      creation_ttl: role?.tokenTtl ?? 0,
      display_name: role === undefined ? 'root' : 'approle',
      entity_id: '',
      expire_time: ends ? new Date(expiresAt).toISOString() : null,
      explicit_max_ttl: 0,
      id: value,
      meta: role === undefined ? null : { role_name: role.name },
      num_uses: 0,
      orphan: true,
      path: role === undefined ? 'auth/token/root' : 'auth/approle/login',
      policies: policiesOf(role),
      // A token without a lease has no such keys.
      ...(role === undefined
        ? {}
        : { issue_time: new Date(issuedAt).toISOString(), renewable: !batch }),
      ttl: ends ? secondsLeft(state, token) : 0,
      type: role?.tokenType ?? 'service',
    },
  })
}

export function renewSelf(state: State, token: Token, body: JsonObject): Reply {
  const { role } = token
  if (role?.tokenType === 'batch') return failure(400, 'batch tokens cannot be renewed')
  if (role === undefined) return failure(400, 'invalid lease ID')
  const wanted = Number(body['increment'] ?? 0) || role.tokenTtl
  const longest = role.tokenMaxTtl === 0 ? SYSTEM_MAX_TTL : role.tokenMaxTtl
  const left = Math.floor((token.issuedAt + longest * 1000 - state.now()) / 1000)
  if (left <= 0) return failure(500, 'past the max TTL, cannot renew')
  state.index += 1
  const granted = Math.min(wanted, left)
  token.expiresAt = state.now() + granted * 1000
  const capped =
    granted < wanted
      ? [
          `TTL of "${wanted}s" exceeded the effective max_ttl of "${left}s"; TTL value is capped accordingly`,
        ]
      : null
  return success({ auth: authOf(token, granted) }, { warnings: capped })
}

export function revokeSelf(state: State, { value }: Token): Reply {
  state.index += 1
  state.tokens.delete(value)
  return { status: 204, headers: { 'content-type': 'application/json' } }
}

function authOf({ value, accessor, role }: Token, leaseDuration: number): JsonObject {
  const policies = policiesOf(role)
  return {
    client_token: value,
    accessor,
    policies,
    token_policies: policies,
    metadata: { role_name: role?.name ?? '' },
    lease_duration: leaseDuration,
    renewable: role?.tokenType !== 'batch',
    entity_id: '',
    token_type: role?.tokenType ?? 'service',
    orphan: true,
    mfa_requirement: null,
    num_uses: 0,
  }
}

function policiesOf(role: Role | undefined): readonly string[] {
  return role === undefined ? ['root'] : role.policies
}

function secondsLeft(state: State, { expiresAt }: Token): number {
  return Math.max(0, Math.ceil((expiresAt - state.now()) / 1000))
}
