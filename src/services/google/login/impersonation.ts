/**
 * Tokens of a service account that another account may act as.
 *
 * `POST https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/ACCOUNT:generateAccessToken`
 * with `scope`, `lifetime` and `delegates`:
 * https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken
 *
 * @module
 */

import * as v from 'valibot'
import { duration } from '../../../base/duration.ts'
import { KmsError } from '../../../base/errors.ts'
import type { Call } from '../../../base/provider.ts'
import { fingerprintOf } from '../../../remote/secret_file.ts'
import type { Token } from '../../../remote/token_source.ts'
import { GoogleStatusError } from '../api.ts'
import {
  askWithRetries,
  bearer,
  type GoogleDeps,
  type GoogleUse,
  type PreparedSource,
  tokenOf,
  USES,
} from './source.ts'

/** Address or unique id of a service account. */
const accountName = v.pipe(
  v.string(),
  v.regex(/^(?:[\w.-]+@[\w.:-]+|\d+)$/, 'name@project.iam.gserviceaccount.com'),
)

export const impersonationConfig = v.strictObject({
  serviceAccount: v.pipe(accountName, v.description('Whose tokens are used')),
  delegates: v.optional(
    v.pipe(
      v.array(accountName),
      v.description('Accounts in between; each may act as the next, the last as serviceAccount'),
    ),
    [],
  ),
  lifetime: v.optional(
    v.pipe(
      duration({ minMs: 60_000, maxMs: 43_200_000 }),
      v.description(
        'How long a token is good for; more than 1h needs an organisation policy that allows it',
      ),
    ),
    '1h',
  ),
})
type ImpersonationConfig = v.InferOutput<typeof impersonationConfig>

interface Impersonation extends ImpersonationConfig {
  readonly endpoint: string
}

export const IAM_ENDPOINT = 'https://iamcredentials.googleapis.com'

const answer = v.object({
  accessToken: bearer,
  expireTime: v.pipe(v.string(), v.isoTimestamp()),
})

/** Like `source`, but returns tokens of the account that it acts as. */
export function impersonated(
  source: PreparedSource,
  as: Impersonation,
  deps: GoogleDeps,
): PreparedSource {
  return {
    fingerprint: fingerprintOf(source.fingerprint, JSON.stringify(as)),
    async token(use, call) {
      const { value } = await source.token(USES.iamCredentials, call)
      return await generate(as, value, use, deps, call)
    },
  }
}

async function generate(
  { serviceAccount, delegates, lifetime, endpoint }: Impersonation,
  token: string | undefined,
  { scope }: GoogleUse,
  deps: GoogleDeps,
  call: Call,
): Promise<Token> {
  const request = {
    path: `/v1/${resource(serviceAccount)}:generateAccessToken`,
    token,
    json: {
      scope: [scope],
      lifetime: `${Math.floor(lifetime / 1000)}s`,
      ...(delegates.length === 0 ? {} : { delegates: delegates.map(resource) }),
    },
    schema: answer,
  }
  try {
    const reply = await askWithRetries(deps, deps.transport, endpoint, request, call)
    const { accessToken, expireTime } = reply.body
    const now = reply.serviceTime ?? deps.clock.now()
    return tokenOf(accessToken, (Date.parse(expireTime) - now) / 1000)
  } catch (error) {
    throw explained(error, serviceAccount)
  }
}

function resource(account: string): string {
  return `projects/-/serviceAccounts/${account}`
}

function explained(error: unknown, account: string): unknown {
  if (!(error instanceof GoogleStatusError) || error.state === '') return error
  const denied = (why: string) =>
    new KmsError(`Service account ${account} cannot be impersonated: ${why}`, {
      code: 'denied',
      cause: error,
    })
  if (error.reasons.has('SERVICE_DISABLED')) {
    return denied('enable iamcredentials.googleapis.com in the project of the account that asks')
  }
  switch (error.status) {
    case 400:
      return denied('the request was refused: check delegates and lifetime')
    case 401:
      return denied('the token of the account that asks was refused')
    case 403:
    case 404:
      return denied(
        'it does not exist, or the account that asks lacks iam.serviceAccounts.getAccessToken on it (roles/iam.serviceAccountTokenCreator, or roles/iam.workloadIdentityUser for a federated identity)',
      )
    default:
      return error
  }
}
