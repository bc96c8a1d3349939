/**
 * Login as an application with a certificate: a JWT signed by its key, PS256 with the header
 * `x5t#S256`, as in learn.microsoft.com/entra/identity-platform/certificate-credentials.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { createPrivateKey, type KeyObject, randomUUID, X509Certificate } from 'node:crypto'
import { SignJWT } from 'jose'
import * as v from 'valibot'
import { KmsError, systemReasonOf } from '../../../base/errors.ts'
import { readSmallFile } from '../../../base/small_file.ts'
import { absolutePath } from '../../../remote/login_fields.ts'
import { fingerprintOf } from '../../../remote/secret_file.ts'
import type { SigningClock } from '../../../remote/signing_clock.ts'
import type { LoginMethod } from '../../../remote/token_source.ts'
import {
  type Application,
  assertionForm,
  type EntraDeps,
  requestToken,
  tokenEndpoint,
} from './entra.ts'
import { applicationFields } from './secret.ts'

export const clientCertificateConfig = v.strictObject({
  method: v.literal('clientCertificate'),
  ...applicationFields,
  certFile: v.pipe(absolutePath, v.description('PEM of the certificate; may hold its key too')),
  keyFile: v.optional(
    v.pipe(absolutePath, v.description('PEM of its RSA key, where certFile does not hold it')),
  ),
})
type ClientCertificateConfig = v.InferOutput<typeof clientCertificateConfig>

export interface CertificateDeps extends EntraDeps {
  /** The clock with which assertions are signed. */
  readonly signing: SigningClock
  /** Called with the certificate's dates at each login, in milliseconds since the epoch. */
  readonly onCertificate: (life: { readonly notBefore: number; readonly notAfter: number }) => void
}

interface Credential {
  readonly certificate: X509Certificate
  readonly key: KeyObject
}

const MIN_RSA_BITS = 2_048
const LIFETIME_S = 300
/** Clocks differ, so an assertion is valid from a little before it was made. */
const LEEWAY_S = 30

export function createClientCertificateLogin(
  config: Omit<ClientCertificateConfig, 'method'>,
  deps: CertificateDeps,
): LoginMethod {
  const { tenantId, clientId } = config
  return {
    name: 'clientCertificate',
    async prepare() {
      const credential = await readCredential(config)
      const { validFrom, validTo, fingerprint256 } = credential.certificate
      const notAfter = Date.parse(validTo)
      deps.onCertificate({ notBefore: Date.parse(validFrom), notAfter })
      if (notAfter <= deps.signing.now()) {
        throw unusable(config.certFile, 'has expired: make a new one and upload it')
      }
      return {
        fingerprint: fingerprintOf(tenantId, clientId, fingerprint256),
        signed: true,
        login: (call) =>
          deps.signing.run(async () => {
            const jwt = await assertion(credential, config, deps)
            return await requestToken(deps, config, assertionForm(jwt), call)
          }),
      }
    },
  }
}

function assertion(
  { certificate, key }: Credential,
  application: Application,
  deps: CertificateDeps,
): Promise<string> {
  const seconds = Math.floor(deps.signing.now() / 1000)
  const thumbprint = Buffer.from(certificate.fingerprint256.replaceAll(':', ''), 'hex')
  return new SignJWT()
    .setProtectedHeader({
      alg: 'PS256',
      typ: 'JWT',
      'x5t#S256': thumbprint.toString('base64url'),
    })
    .setAudience(tokenEndpoint(deps, application))
    .setIssuer(application.clientId)
    .setSubject(application.clientId)
    .setJti(randomUUID())
    .setIssuedAt(seconds)
    .setNotBefore(seconds - LEEWAY_S)
    .setExpirationTime(seconds + LIFETIME_S)
    .sign(key)
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/
const PRIVATE_KEY = /-----BEGIN ([A-Z ]*)PRIVATE KEY-----[\s\S]*?-----END \1PRIVATE KEY-----/

async function readCredential({
  certFile,
  keyFile = certFile,
}: Pick<ClientCertificateConfig, 'certFile' | 'keyFile'>): Promise<Credential> {
  const certificate = await readPem(certFile, CERTIFICATE, (pem) => new X509Certificate(pem))
  const key = await readPem(keyFile, PRIVATE_KEY, createPrivateKey)
  const { modulusLength = 0 } = key.asymmetricKeyDetails ?? {}
  if (key.asymmetricKeyType !== 'rsa' || modulusLength < MIN_RSA_BITS) {
    throw unusable(keyFile, 'has no RSA key of 2048 bits or more, which Microsoft Entra wants')
  }
  if (!certificate.checkPrivateKey(key)) throw unusable(keyFile, 'is not the key of certFile')
  return { certificate, key }
}

/** Reads one block of the file, since runtimes differ in what else the file may contain. */
async function readPem<T>(path: string, block: RegExp, parse: (pem: string) => T): Promise<T> {
  const text = await readSmallFile(path).catch((cause: unknown) => {
    throw unusable(path, `cannot be read: ${systemReasonOf(cause)}`, cause)
  })
  if (!text.includes('-----BEGIN ')) {
    throw unusable(
      path,
      'is no PEM. PKCS#12 (.pfx, .p12) is not supported: convert it with "openssl pkcs12 -in FILE.pfx -nodes -out FILE.pem"',
    )
  }
  try {
    return parse(block.exec(text)?.[0] ?? '')
  } catch (cause) {
    throw unusable(path, 'holds no certificate with an unencrypted key, as PEM', cause)
  }
}

function unusable(path: string, why: string, cause?: unknown): KmsError {
  return new KmsError(`Certificate file "${path}" of the login ${why}`, { code: 'denied', cause })
}
