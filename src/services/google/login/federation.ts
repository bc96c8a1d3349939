/**
 * Workload identity federation: the token of another issuer, such as a ServiceAccount token of
 * Kubernetes, is exchanged for one of Google's.
 *
 * Credential configurations of type `external_account` with a file or a URL as source:
 * https://google.aip.dev/auth/4117. The exchange is RFC 8693, `POST
 * https://sts.googleapis.com/v1/token` without an Authorization header:
 * https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token
 *
 * @module
 */

import * as v from 'valibot'
import { KmsError } from '../../../base/errors.ts'
import type { Call } from '../../../base/provider.ts'
import { absolutePath } from '../../../remote/login_fields.ts'
import { fingerprintOf } from '../../../remote/secret_file.ts'
import type { Token } from '../../../remote/token_source.ts'
import { GoogleStatusError } from '../api.ts'
import { IAM_ENDPOINT, impersonated } from './impersonation.ts'
import {
  askWithRetries,
  type GoogleDeps,
  type GoogleSource,
  type GoogleUse,
  type PreparedSource,
  readGoogleFile,
  tokenAnswer,
  tokenOf,
} from './source.ts'
import { fetchedSubject, readSubject, subjectSource } from './subject.ts'

export const federationConfig = {
  method: v.literal('federation'),
  credentialsFile: v.pipe(
    absolutePath,
    v.description('Credential configuration (external_account) of gcloud; holds no secret'),
  ),
}

interface FederationConfig {
  readonly credentialsFile: string
  readonly stsEndpoint?: string | undefined
  readonly iamEndpoint?: string | undefined
}

const STS_URL = /^https:\/\/sts(?:[.-][\w.-]+)?\.googleapis\.com\/v1\/token$/
const IMPERSONATION_URL =
  /^https:\/\/[\w.-]+\/v1\/projects\/-\/serviceAccounts\/([\w.@:-]+):generateAccessToken$/

/**
 * Only Google's hosts are accepted, since a file that names other hosts would send the subject
 * token to them.
 */
export const federationFile = {
  what: 'auth.credentialsFile',
  wanted:
    'a credential configuration of type external_account, as "gcloud iam workload-identity-pools create-cred-config" makes it, whose source is a file or a URL',
  schema: v.object({
    type: v.literal('external_account'),
    audience: v.pipe(v.string(), v.nonEmpty()),
    subject_token_type: v.pipe(v.string(), v.nonEmpty()),
    token_url: v.optional(
      v.pipe(v.string(), v.regex(STS_URL)),
      'https://sts.googleapis.com/v1/token',
    ),
    service_account_impersonation_url: v.optional(v.pipe(v.string(), v.regex(IMPERSONATION_URL))),
    service_account_impersonation: v.optional(
      v.object({
        token_lifetime_seconds: v.pipe(
          v.number(),
          v.integer(),
          v.minValue(600),
          v.maxValue(43_200),
        ),
      }),
      { token_lifetime_seconds: 3_600 },
    ),
    credential_source: subjectSource,
  }),
}
type FederationFile = v.InferOutput<typeof federationFile.schema>

/** The account whose tokens are used in the end, where the file names one. */
export function impersonatedBy(file: FederationFile): string | undefined {
  return IMPERSONATION_URL.exec(file.service_account_impersonation_url ?? '')?.[1]
}

export function federationSource(config: FederationConfig, deps: GoogleDeps): GoogleSource {
  return {
    async prepare() {
      const { text, value: file } = await readGoogleFile(config.credentialsFile, federationFile)
      const source = file.credential_source
      const read = 'file' in source ? await readSubject(source) : undefined
      const sts = config.stsEndpoint ?? new URL(file.token_url).origin
      const own: PreparedSource = {
        fingerprint: fingerprintOf(text, read ?? ''),
        async token(use, call) {
          const subject = 'url' in source ? await fetchedSubject(source, deps, call) : read
          return await exchange({ file, sts, subject: subject ?? '', use }, deps, call)
        },
      }
      const serviceAccount = impersonatedBy(file)
      if (serviceAccount === undefined) return own
      const lifetime = file.service_account_impersonation.token_lifetime_seconds * 1000
      const endpoint = config.iamEndpoint ?? IAM_ENDPOINT
      return impersonated(own, { serviceAccount, delegates: [], lifetime, endpoint }, deps)
    },
  }
}

interface Exchange {
  readonly file: FederationFile
  readonly sts: string
  readonly subject: string
  readonly use: GoogleUse
}

async function exchange(
  { file, sts, subject, use }: Exchange,
  deps: GoogleDeps,
  call: Call,
): Promise<Token> {
  const request = {
    path: '/v1/token',
    form: {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      audience: file.audience,
      scope: use.scope,
      requested_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      subject_token: subject,
      subject_token_type: file.subject_token_type,
    },
    schema: tokenAnswer,
  }
  try {
    const { body } = await askWithRetries(deps, deps.transport, sts, request, call)
    return tokenOf(body.access_token, body.expires_in)
  } catch (error) {
    if (!(error instanceof GoogleStatusError) || error.state === '') throw error
    if (error.status >= 429) throw error
    throw new KmsError(
      `Token exchange was refused (${error.status}): the subject token has expired, or its issuer, audience or claims are not what the workload identity provider allows; the provider may be disabled, or the audience of auth.credentialsFile wrong`,
      { code: 'denied', cause: error },
    )
  }
}
