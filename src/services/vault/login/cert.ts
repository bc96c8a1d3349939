/**
 * Login with the client certificate of the connection (`tls.certFile`), including the one that the
 * kubelet renews.
 *
 * @module
 */

import * as v from 'valibot'
import { KmsError, systemReasonOf } from '../../../base/errors.ts'
import { readSmallFile } from '../../../base/small_file.ts'
import { loginFields, roleName, vaultPath } from '../../../remote/login_fields.ts'
import { fingerprintOf } from '../../../remote/secret_file.ts'
import type { LoginMethod } from '../../../remote/token_source.ts'
import type { VaultApi } from '../api.ts'
import { careFor, logIn } from './login.ts'

export const certConfig = v.strictObject({
  method: v.literal('cert'),
  mount: v.optional(vaultPath, 'cert'),
  role: v.optional(v.pipe(roleName, v.description('Any role that fits where absent'))),
  ...loginFields,
})
type CertConfig = v.InferOutput<typeof certConfig>

export interface CertLoginDeps {
  readonly api: VaultApi
  /** The PEM file of the certificate that the connection presents. */
  readonly certFile: string | undefined
  /** Makes new connections present the certificate as it is now. */
  readonly refresh: () => Promise<unknown>
}

export function createCertLogin(
  { mount, role }: CertConfig,
  { api, certFile, refresh }: CertLoginDeps,
): LoginMethod {
  let usedForLogin = ''
  const care = careFor(api)
  return {
    ...care,
    name: 'cert',
    async prepare() {
      const fingerprint = await fingerprintIn(certFile)
      return {
        fingerprint,
        async login(call) {
          await refresh()
          const body = role === undefined ? {} : { name: role }
          const token = await logIn(api, { path: `auth/${mount}/login`, body }, call)
          usedForLogin = fingerprint
          return token
        },
      }
    },
    async renew(token, call) {
      // The service renews a token only for the certificate with which it was issued.
      if ((await fingerprintIn(certFile)) !== usedForLogin) {
        throw new KmsError(
          'The certificate has changed since the login: its token is not renewed',
          {
            code: 'denied',
          },
        )
      }
      return await care.renew(token, call)
    },
  }
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/

async function fingerprintIn(path = ''): Promise<string> {
  const text = await readSmallFile(path).catch((cause: unknown) => {
    const why = `cannot be read: ${systemReasonOf(cause)}`
    throw new KmsError(`File "${path}" of tls.certFile ${why}`, { code: 'denied', cause })
  })
  // The file may contain the key, of which nothing must be kept, not even a digest.
  return fingerprintOf(CERTIFICATE.exec(text)?.[0] ?? '')
}
