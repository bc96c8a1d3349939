/**
 * Login as the managed identity of this machine: `GET
 * http://169.254.169.254/metadata/identity/oauth2/token` with the header `Metadata: true`, never
 * through a proxy, as in
 * learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token.
 *
 * @module
 */

import * as v from 'valibot'
import { KmsError } from '../../../base/errors.ts'
import type { Call } from '../../../base/provider.ts'
import { type HttpAnswer, type HttpClient, parseAnswer } from '../../../remote/http/client.ts'
import { passingFailure, type RetryDeps, retryPassing } from '../../../remote/passing_error.ts'
import { fingerprintOf } from '../../../remote/secret_file.ts'
import type { LoginMethod, Token } from '../../../remote/token_source.ts'
import { bearer } from './entra.ts'

export const METADATA_SERVICE = 'http://169.254.169.254'
const API_VERSION = '2018-02-01'
/**
 * The page above demands to wait at least a second. What lasts longer than one request is left to
 * the next login.
 */
const FIRST_RETRY_MS = 1_000
/** The service returns the token that it has; one with less time left is about to be replaced. */
const MIN_TTL_S = 30

export const managedIdentityConfig = v.pipe(
  v.strictObject({
    method: v.literal('managedIdentity'),
    clientId: v.optional(
      v.pipe(
        v.string(),
        v.regex(/^[\w-]+$/, 'the client id, a UUID'),
        v.description(
          'Client id of a user-assigned identity; the system-assigned one where absent',
        ),
      ),
    ),
    resourceId: v.optional(
      v.pipe(
        v.string(),
        v.regex(/^\/subscriptions\/[\w./()-]+$/i, '/subscriptions/…, as Azure prints it'),
        v.description('Resource id of a user-assigned identity, instead of clientId'),
      ),
    ),
  }),
  v.check(
    ({ clientId, resourceId }) => clientId === undefined || resourceId === undefined,
    'at most one of clientId and resourceId',
  ),
)
type ManagedIdentityConfig = v.InferOutput<typeof managedIdentityConfig>

export interface IdentityDeps extends RetryDeps {
  readonly metadata: HttpClient
  readonly resource: string
}

const epochSeconds = v.union([v.number(), v.pipe(v.string(), v.digits(), v.transform(Number))])
const identityAnswer = v.object({ access_token: bearer, expires_on: epochSeconds })

export function createManagedIdentityLogin(
  { clientId, resourceId }: Omit<ManagedIdentityConfig, 'method'>,
  deps: IdentityDeps,
): LoginMethod {
  const query = new URLSearchParams({ 'api-version': API_VERSION, resource: deps.resource })
  if (clientId !== undefined) query.set('client_id', clientId)
  if (resourceId !== undefined) query.set('msi_res_id', resourceId)
  return {
    name: 'managedIdentity',
    prepare() {
      const login = (call: Call) =>
        retryPassing(() => ask(deps, `${query}`, call), call, { ...deps, firstMs: FIRST_RETRY_MS })
      return Promise.resolve({ fingerprint: fingerprintOf(`${query}`), login })
    },
  }
}

async function ask({ metadata, clock }: IdentityDeps, query: string, call: Call): Promise<Token> {
  const path = '/metadata/identity/oauth2/token'
  const headers = { metadata: 'true' }
  const request = { method: 'GET', path: `${path}?${query}`, headers, signal: call.signal } as const
  const answer = await metadata.send(request)
  if (answer.status !== 200) throw failure(answer)
  const { access_token, expires_on } = parseAnswer(answer, identityAnswer, `GET ${path}`)
  // expires_in is not used: tokens come out of a cache, and it counts from when they were made.
  const left = expires_on - (answer.serviceTime ?? clock.now()) / 1000
  return { value: access_token, ttlSeconds: Math.max(left, MIN_TTL_S), renewable: false }
}

/**
 * With these statuses the service says that it is being updated, which lasts 70 seconds at most.
 */
const UPDATING = [404, 410]

function failure(answer: HttpAnswer): KmsError {
  const action = `Metadata service at ${answer.address}`
  return (
    passingFailure(answer, action, UPDATING) ??
    new KmsError(
      `${action} answered ${answer.status}: this machine has no such managed identity; assign it, and where there are several name one with login.clientId`,
      { code: 'denied' },
    )
  )
}
