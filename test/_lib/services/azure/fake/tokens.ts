/**
 * Microsoft Entra's token endpoint and the metadata service of a machine, as strict as the pages
 * that `src/services/azure/login/` names. Assertions are verified by node:crypto alone, so that the
 * product's JWTs are not tested by the product's library.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { constants, createHash, randomBytes, verify, X509Certificate } from 'node:crypto'
import * as v from 'valibot'
import type { Received, Reply } from './http.ts'

interface Issued {
  readonly audience: string
  readonly tenantId: string
  /** Milliseconds since the epoch. */
  readonly expiresAt: number
}

export interface TokenState {
  /** The service's clock in milliseconds since the epoch. */
  now: () => number
  readonly tenantId: string
  readonly clientId: string
  readonly audience: string
  /** Where the endpoint is, as assertions must say; known once it listens. */
  authority: string
  secret: string
  /** PEM. */
  certificate: string | undefined
  federatedToken: string | undefined
  /** Life of new tokens in seconds. */
  lifetime: number
  /** Of the machine: `system`, client ids and resource ids. */
  identities: string[]
  readonly issued: Map<string, Issued>
  readonly usedAssertions: Set<string>
}

const MAX_ASSERTION_S = 600
const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

export function issue(state: TokenState, tenantId = state.tenantId): string {
  const token = `eyJ0-${randomBytes(24).toString('base64url')}`
  const expiresAt = state.now() + state.lifetime * 1000
  state.issued.set(token, { audience: state.audience, tenantId, expiresAt })
  return token
}

export function serveEntra(state: TokenState, { method, path, headers, text }: Received): Reply {
  const [, tenantId, ...rest] = path.split('/')
  if (method !== 'POST' || rest.join('/') !== 'oauth2/v2.0/token') return { status: 404, body: '' }
  if (!headers['content-type']?.startsWith('application/x-www-form-urlencoded')) {
    return refused(400, 'invalid_request', 900_144)
  }
  if (tenantId !== state.tenantId) return refused(400, 'invalid_request', 90_002)
  const form = new URLSearchParams(text)
  if (form.get('grant_type') !== 'client_credentials')
    return refused(400, 'invalid_request', 70_003)
  if (form.get('client_id') !== state.clientId) return refused(400, 'unauthorized_client', 700_016)
  if (form.get('scope') !== `${state.audience}/.default`) {
    return refused(400, 'invalid_resource', 500_011)
  }
  const wrong = wrongProof(state, form)
  if (wrong !== undefined) return refused(401, 'invalid_client', wrong)
  const body = {
    token_type: 'Bearer',
    expires_in: state.lifetime,
    ext_expires_in: state.lifetime,
    access_token: issue(state),
  }
  return { status: 200, body }
}

/** The number of the error; undefined for a good proof. */
function wrongProof(state: TokenState, form: URLSearchParams): number | undefined {
  const [secret, jwt] = [form.get('client_secret'), form.get('client_assertion')]
  if ((secret === null) === (jwt === null)) return 7_000_218
  if (secret !== null) return secret === state.secret ? undefined : 7_000_215
  if (form.get('client_assertion_type') !== ASSERTION_TYPE || jwt === null) return 7_000_218
  if (jwt.split('.').length !== 3) return 50_027
  if (state.certificate === undefined) {
    return jwt === state.federatedToken ? undefined : 700_213
  }
  return wrongAssertion(state, jwt)
}

const header = v.strictObject({
  alg: v.literal('PS256'),
  typ: v.literal('JWT'),
  'x5t#S256': v.string(),
})
const number = v.pipe(v.number(), v.integer())
const claims = v.strictObject({
  aud: v.string(),
  iss: v.string(),
  sub: v.string(),
  jti: v.string(),
  iat: number,
  nbf: number,
  exp: number,
})

function wrongAssertion(state: TokenState, jwt: string): number | undefined {
  const [head = '', payload = '', signature = ''] = jwt.split('.')
  const { raw, publicKey } = new X509Certificate(state.certificate ?? '')
  const said = v.safeParse(header, decoded(head))
  const claim = v.safeParse(claims, decoded(payload))
  if (!said.success || !claim.success) return 50_027
  const thumbprint = createHash('sha256').update(raw).digest('base64url')
  if (said.output['x5t#S256'] !== thumbprint) return 700_027
  const key = { key: publicKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
  const bytes = Buffer.from(`${head}.${payload}`)
  if (!verify('sha256', bytes, key, Buffer.from(signature, 'base64url'))) return 700_027
  const { aud, iss, sub, jti, nbf, exp } = claim.output
  if (aud !== `${state.authority}/${state.tenantId}/oauth2/v2.0/token`) return 700_023
  if (iss !== state.clientId || sub !== state.clientId || state.usedAssertions.has(jti)) {
    return 50_013
  }
  state.usedAssertions.add(jti)
  const seconds = state.now() / 1000
  return nbf > seconds || exp <= seconds || exp - nbf > MAX_ASSERTION_S ? 700_024 : undefined
}

function decoded(part: string): unknown {
  return JSON.parse(Buffer.from(part, 'base64url').toString('utf8'))
}

function refused(status: number, error: string, code: number): Reply {
  const body = {
    error,
    error_description: `AADSTS${code}: planted-description of what was wrong. Trace ID: 1`,
    error_codes: [code],
    trace_id: '1',
    correlation_id: '2',
  }
  return { status, body }
}

export function serveMetadata(state: TokenState, request: Received): Reply {
  const { method, path, query, headers } = request
  const no = (error: string) => ({ status: 400, body: { error, error_description: 'planted' } })
  if (headers['metadata'] !== 'true' || headers['x-forwarded-for'] !== undefined) {
    return no('bad_request_102')
  }
  if (method !== 'GET' || path !== '/metadata/identity/oauth2/token') return no('invalid_request')
  if (query.get('api-version') !== '2018-02-01') return no('invalid_request')
  if (query.get('resource') !== state.audience) return no('invalid_resource')
  const who = query.get('client_id') ?? query.get('msi_res_id') ?? 'system'
  if (!state.identities.includes(who)) return no('invalid_request')
  const expiresOn = Math.floor(state.now() / 1000) + state.lifetime
  const body = {
    access_token: issue(state),
    refresh_token: '',
    expires_in: String(state.lifetime),
    expires_on: String(expiresOn),
    not_before: String(expiresOn - state.lifetime),
    resource: state.audience,
    token_type: 'Bearer',
  }
  return { status: 200, body }
}
