/** AssumeRole and AssumeRoleWithWebIdentity of the fake. @module */

import { type FakeAnswer, isoSeconds, Refusal } from './answers.ts'
import type { Principals, Temporary } from './principals.ts'
import type { SignedRequest } from './signature.ts'

export interface FakeRole {
  readonly arn: string
  readonly externalId?: string
  /** Access key ids or roles that may take it on. */
  readonly trusts: readonly string[]
  /** Web identity tokens that may. */
  readonly jwts?: readonly string[]
  readonly policy?: string
}

export function sts(
  action: string,
  request: SignedRequest,
  roles: ReadonlyMap<string, FakeRole>,
  principals: Principals,
  lifeMs: number,
): FakeAnswer {
  const form = new URLSearchParams(request.body)
  const role = roles.get(form.get('RoleArn') ?? '')
  const session = form.get('RoleSessionName') ?? ''
  if (form.get('Version') !== '2011-06-15' || !/^[\w+=,.@-]{2,64}$/.test(session)) {
    throw new Refusal('ValidationError')
  }
  if (action === 'AssumeRole') checkTrust(role, form, principals.authenticate('sts', request))
  else if (action === 'AssumeRoleWithWebIdentity') checkJwt(role, form, request)
  else throw new Refusal('InvalidAction')
  const made = principals.temporary(lifeMs, { policy: role?.policy, role: role?.arn })
  return xml(action, made, session)
}

function checkTrust(
  role: FakeRole | undefined,
  form: URLSearchParams,
  who: { readonly accessKeyId: string; readonly role?: string | undefined },
): void {
  const trusted = [who.accessKeyId, who.role].some((id) => role?.trusts.includes(id ?? ''))
  const external = (form.get('ExternalId') ?? undefined) === role?.externalId
  if (!trusted || !external) throw new Refusal('AccessDenied')
}

function checkJwt(role: FakeRole | undefined, form: URLSearchParams, { headers }: SignedRequest) {
  if (headers['authorization'] !== undefined) throw new Refusal('ValidationError')
  if (role?.jwts?.includes(form.get('WebIdentityToken') ?? '') === true) return
  throw new Refusal('InvalidIdentityToken')
}

function xml(action: string, made: Temporary, session: string): FakeAnswer {
  const body = `<${action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <${action}Result>
    <AssumedRoleUser><AssumedRoleId>AROA:${session}</AssumedRoleId></AssumedRoleUser>
    <Credentials>
      <AccessKeyId>${made.accessKeyId}</AccessKeyId>
      <SecretAccessKey>${made.secretAccessKey}</SecretAccessKey>
      <SessionToken>${made.sessionToken}</SessionToken>
      <Expiration>${isoSeconds(made.expiresAt)}</Expiration>
    </Credentials>
  </${action}Result>
</${action}Response>`
  return { status: 200, body, type: 'text/xml' }
}
