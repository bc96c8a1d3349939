/**
 * Assumes roles at STS: AssumeRole and AssumeRoleWithWebIdentity, in the query protocol with its
 * XML (docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html,
 * …/API_AssumeRoleWithWebIdentity.html).
 *
 * @module
 */

import { hostname } from 'node:os'
import * as v from 'valibot'
import { KmsError, type KmsErrorCode } from '../../../base/errors.ts'
import { own } from '../../../base/own.ts'
import type { Call } from '../../../base/provider.ts'
import type { HttpAnswer } from '../../../remote/http/client.ts'
import { absolutePath } from '../../../remote/login_fields.ts'
import type { AwsApi, AwsCredentials } from '../api.ts'
import { AwsError, faultOf, NOT_OF_AWS } from '../fault.ts'

const roleArn = v.pipe(
  v.string(),
  v.regex(/^arn:aws[\w-]*:iam::\d{12}:role\/[\w+=,.@/-]+$/, 'arn:aws:iam::ACCOUNT:role/NAME'),
)
const sessionName = v.pipe(
  v.string(),
  v.regex(/^[\w+=,.@-]{2,64}$/, '2 to 64 letters, digits and "+=,.@-_"'),
  v.description('Name of the session in CloudTrail; trousseau- and the host name where absent'),
)
export const assumeRoleConfig = v.strictObject({
  roleArn: v.pipe(roleArn, v.description('The role that uses the key')),
  externalId: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^[\w+=,.@:/-]{2,1224}$/, '2 to 1224 letters, digits and "+=,.@:/-_"'),
      v.description("External id that the role's trust policy asks for; no secret"),
    ),
  ),
  sessionName: v.optional(sessionName),
})
export type AssumeRole = v.InferOutput<typeof assumeRoleConfig>

export const webIdentityFields = {
  roleArn: v.optional(v.pipe(roleArn, v.description('AWS_ROLE_ARN where absent'))),
  tokenFile: v.optional(
    v.pipe(
      absolutePath,
      v.description('File with the JWT; AWS_WEB_IDENTITY_TOKEN_FILE where absent'),
    ),
  ),
  sessionName: v.optional(sessionName),
}

/** Temporary credentials; `expiration` is by the clock of the service that gave them. */
export interface Temporary {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken: string
  /** A time in ISO 8601. */
  readonly expiration: string
  readonly serviceTime: number | undefined
}

export function assumeRole(
  sts: AwsApi,
  { roleArn: arn, externalId, sessionName: name = defaultSessionName() }: AssumeRole,
  credentials: AwsCredentials,
  call: Call,
): Promise<Temporary> {
  const extra = externalId === undefined ? {} : { ExternalId: externalId }
  const form = { Action: 'AssumeRole', RoleArn: arn, RoleSessionName: name, ...extra }
  return take(sts, arn, form, credentials, call)
}

export function assumeRoleWithWebIdentity(
  sts: AwsApi,
  role: {
    readonly roleArn: string
    readonly sessionName?: string | undefined
    readonly token: string
  },
  call: Call,
): Promise<Temporary> {
  const form = {
    Action: 'AssumeRoleWithWebIdentity',
    RoleArn: role.roleArn,
    RoleSessionName: role.sessionName ?? defaultSessionName(),
    WebIdentityToken: role.token,
  }
  return take(sts, role.roleArn, form, undefined, call)
}

function defaultSessionName(): string {
  return `trousseau-${hostname()}`.replaceAll(/[^\w+=,.@-]/g, '-').slice(0, 64)
}

async function take(
  sts: AwsApi,
  arn: string,
  form: Readonly<Record<string, string>> & { readonly Action: string },
  credentials: AwsCredentials | undefined,
  call: Call,
): Promise<Temporary> {
  const request = {
    headers: { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' },
    body: new URLSearchParams({ ...form, Version: '2011-06-15' }).toString(),
  }
  const answer = await sts.send(request, credentials, call)
  const fault = faultOf(answer)
  if (fault !== undefined) throw refusal(form.Action, arn, fault.name, answer)
  return credentialsIn(answer, form.Action)
}

const word = v.pipe(v.string(), v.regex(/^[^\s&<>]+$/))
const temporary = v.object({
  AccessKeyId: word,
  SecretAccessKey: word,
  SessionToken: word,
  Expiration: v.pipe(v.string(), v.isoTimestamp()),
})

/**
 * Reads the four elements of `Credentials`. None of them contains escapes, so anything else is
 * refused.
 */
function credentialsIn({ text, serviceTime }: HttpAnswer, action: string): Temporary {
  const block = /<Credentials>((?:(?!<Credentials>).)*)<\/Credentials>/s.exec(text)?.[1] ?? ''
  // Spaces are cut off afterwards: a pattern for them would try each in several places.
  const pairs = [...block.matchAll(/<(\w+)>([^<]*)<\/\1>/g)]
  const found = v.safeParse(
    temporary,
    Object.fromEntries(pairs.map(([, name, value = '']) => [name, value.trim()])),
  )
  if (!text.includes(`<${action}Response`)) {
    throw new KmsError(`STS answered ${action} ${NOT_OF_AWS}`, { code: 'unavailable' })
  }
  if (!found.success) {
    throw new KmsError(`STS answered ${action} without credentials`, { code: 'protocol' })
  }
  const { AccessKeyId, SecretAccessKey, SessionToken, Expiration } = found.output
  return {
    accessKeyId: AccessKeyId,
    secretAccessKey: SecretAccessKey,
    sessionToken: SessionToken,
    expiration: Expiration,
    serviceTime,
  }
}

const REFUSALS: Readonly<Record<string, readonly [code: KmsErrorCode, why: string]>> = {
  AccessDenied: [
    'denied',
    'its trust policy must let these credentials in (and name the same external id, audience and subject), and they need permission for it',
  ],
  ExpiredTokenException: ['denied', 'the web identity token has expired: who renews its file?'],
  IDPCommunicationError: ['unavailable', 'STS cannot reach the issuer of the web identity token'],
  IDPRejectedClaim: ['denied', 'the issuer of the web identity token rejected it'],
  InvalidIdentityToken: [
    'denied',
    'the web identity token is refused: check its issuer, audience and file',
  ],
  RegionDisabledException: ['denied', 'STS is not activated in this region for the account'],
  ValidationError: ['denied', 'STS takes roleArn, externalId or sessionName for invalid'],
}

function refusal(action: string, arn: string, name: string, answer: HttpAnswer): AwsError {
  const kind = faultOf(answer)?.kind
  const known = own(REFUSALS, name)
  const base = `${action} of ${arn} failed (${name || answer.status})`
  if (known !== undefined) return new AwsError(`${base}: ${known[1]}`, { code: known[0] })
  if (kind === 'throttled') {
    return new AwsError(`${base}: STS limits the rate`, { code: 'throttled', passing: true })
  }
  if (kind === 'credentials' || kind === 'signature') {
    return new AwsError(`${base}: STS refuses the credentials that shall take on the role`, {
      code: 'denied',
    })
  }
  if (kind === 'foreign') return new AwsError(`${base}: ${NOT_OF_AWS}`, { code: 'unavailable' })
  const passing = kind === 'passing'
  return new AwsError(`${base}: STS did not give credentials`, {
    code: passing ? 'unavailable' : 'protocol',
    passing,
  })
}
