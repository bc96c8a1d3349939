/**
 * Service-account keys: this process signs a JWT that is the token itself, without asking a token
 * endpoint.
 *
 * Header `alg` RS256 and `kid`, claims `iss` = `sub` = the account's address, `aud` the service, at
 * most an hour: https://google.aip.dev/auth/4111 and
 * https://developers.google.com/identity/protocols/oauth2/service-account#jwt-auth
 *
 * @module
 */

import { createPrivateKey, type KeyObject } from 'node:crypto'
import { SignJWT } from 'jose'
import * as v from 'valibot'
import { KmsError } from '../../../base/errors.ts'
import { absolutePath } from '../../../remote/login_fields.ts'
import { fingerprintOf } from '../../../remote/secret_file.ts'
import { type GoogleDeps, type GoogleSource, readGoogleFile, tokenOf } from './source.ts'

export const keyConfig = {
  method: v.literal('key'),
  keyFile: v.pipe(
    absolutePath,
    v.description('JSON key file of a service account; read again when it changes'),
  ),
}

const filled = v.pipe(v.string(), v.nonEmpty())
export const keyFile = {
  what: 'auth.keyFile',
  wanted: 'the JSON key file of a service account, as Google made it',
  schema: v.object({
    type: v.literal('service_account'),
    client_email: filled,
    private_key_id: filled,
    private_key: filled,
  }),
}

const LIFETIME_S = 3_600
/** Clocks differ, so a JWT is valid from a little before it was made. */
const LEEWAY_S = 30

export function keySource(
  config: { readonly keyFile: string },
  { signing }: Pick<GoogleDeps, 'signing'>,
): GoogleSource {
  return {
    async prepare() {
      const { text, value } = await readGoogleFile(config.keyFile, keyFile)
      const key = rsaKey(value.private_key, config.keyFile)
      return {
        fingerprint: fingerprintOf(text),
        async token({ audience }) {
          const issuedAt = Math.floor(signing.now() / 1000) - LEEWAY_S
          const jwt = await new SignJWT()
            .setProtectedHeader({ alg: 'RS256', typ: 'JWT', kid: value.private_key_id })
            .setIssuer(value.client_email)
            .setSubject(value.client_email)
            .setAudience(audience)
            .setIssuedAt(issuedAt)
            .setExpirationTime(issuedAt + LIFETIME_S)
            .sign(key)
          return tokenOf(jwt, LIFETIME_S - LEEWAY_S)
        },
      }
    },
  }
}

function rsaKey(pem: string, path: string): KeyObject {
  const wrong = (cause?: unknown) =>
    new KmsError(`File "${path}" of auth.keyFile holds no RSA key in private_key`, {
      code: 'denied',
      cause,
    })
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch (cause) {
    throw wrong(cause)
  }
  if (key.asymmetricKeyType !== 'rsa') throw wrong()
  return key
}
