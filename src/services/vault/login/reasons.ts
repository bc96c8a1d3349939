/**
 * Why Vault and OpenBao refuse a login. The phrases are the service's own and also stand in its
 * log; they are passed on exactly as they stand here, and nothing else of an answer is. Each was
 * seen on OpenBao 2.7.2, or on Vault 1.12 to 1.21, or stands in Vault's source.
 *
 * @module
 */

const CLOCK = 'compare the clock of this node with that of the service'
const LOCKS = 'after five refusals the service may lock it for 15 minutes'
const APPROLE = `check the files of role id and secret id, which may have expired or be used up; ${LOCKS}`

/** The first phrase that the answer contains is the reason. */
const REASONS: readonly (readonly [phrase: string, advice: string])[] = [
  ['namespace not found', 'check auth.namespace, or namespace'],
  ['invalid audience (aud) claim', "the JWT's audience must be one of bound_audiences of the role"],
  ['invalid subject (sub) claim', "the JWT's subject must be bound_subject of the role"],
  ['invalid issuer (iss) claim', "the JWT's issuer must be bound_issuer of the mount"],
  ['invalid expiration time (exp) claim', `the JWT has expired: ${CLOCK}, and see who renews it`],
  ['invalid not before (nbf) claim', `the JWT is not valid yet: ${CLOCK}`],
  ['invalid issued at (iat) claim', `the JWT is not valid yet: ${CLOCK}`],
  ['no issued at (iat)', 'the JWT must have one of the claims iat, nbf and exp'],
  [
    'no known key successfully validated the token signature',
    'the public key must be in jwt_validation_pubkeys of the mount, or in what its JWKS or OIDC address serves',
  ],
  ['error verifying token signature', 'what was sent is no signed JWT'],
  [
    'does not match any associated bound claim values',
    'compare the claims of the JWT with bound_claims of the role',
  ],
  ['error validating claims', 'the JWT must have every claim of bound_claims of the role'],
  ['not found in token', 'the JWT must have the claim that user_claim of the role names'],
  ['could not be found', 'the mount has no role of this name: check auth.role'],
  ['invalid role name', 'the mount has no role of this name: check auth.role'],
  ['missing role_id', 'the mount is one of AppRoles: check auth.mount and auth.method'],
  [
    'failed to determine alias name from login request',
    'the mount is for another method: check auth.mount and auth.method',
  ],
  ['missing role', 'set auth.role; or the mount is for another method than auth.method'],
  ['role with oidc role_type is not allowed', 'the role must have role_type jwt'],
  ['service account name not authorized', 'check bound_service_account_names of the role'],
  ['namespace not authorized', 'check bound_service_account_namespaces of the role'],
  ['could not load backend configuration', 'the mount is not configured yet: write its config'],
  ['could not load configuration', 'the mount is not configured yet: write its config'],
  ['missing secret_id', 'the role wants a secret id: set auth.secretIdFile'],
  ['CIDR restrictions', 'the address of this node is none of those that the role allows'],
  ['invalid role or secret ID', APPROLE],
  // Vault 1.12 and 1.13 say this.
  ['invalid secret id', APPROLE],
  ['invalid role ID', APPROLE],
  ['invalid username or password', `check auth.username and auth.passwordFile; ${LOCKS}`],
  ['no client certificate found', 'set tls.certFile'],
]

/** What a refusal without a reason means, by its status. */
const SILENT: Readonly<Record<number, string>> = {
  403: `no reason given: check that auth.mount is there, in this namespace; else the credentials cannot be verified, the address of this node is not among token_bound_cidrs, or they are locked: ${LOCKS}`,
  404: 'there is no such login: check auth.mount and auth.namespace',
}

/**
 * @param says whether the service's words contain a phrase
 * @returns whether the service gave a reason, and what it means
 */
export function loginReason(
  status: number,
  says: (phrase: string) => boolean,
): { readonly known: boolean; readonly why: string } {
  const found = REASONS.find(([phrase]) => says(phrase))
  if (found !== undefined) return { known: true, why: found.join(': ') }
  const why = SILENT[status] ?? `check the credentials, the role and what it is bound to; ${LOCKS}`
  return { known: false, why }
}
