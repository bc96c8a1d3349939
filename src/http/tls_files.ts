/**
 * Certificates and keys for TLS, from files that change under us: an authority is
 * renewed, the kubelet rotates its certificate, a projected volume swaps a link.
 *
 * @module
 */

import { createHash, X509Certificate } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createSecureContext } from 'node:tls'
import { KmsError } from '../kms/errors.ts'
import type { CertificateKind } from '../kms/events.ts'

export interface TlsOptions {
  /** PEM of the authorities that may vouch for the service; the runtime's own where absent. */
  readonly caFile?: string | undefined
  /** A folder of such files. */
  readonly caDir?: string | undefined
  /** The name in the service's certificate, where it is not the host of the address. */
  readonly serverName?: string | undefined
  /** PEM of the client certificate, and of its key where `keyFile` is absent. */
  readonly certFile?: string | undefined
  readonly keyFile?: string | undefined
  /** The same as text, from whoever has no files of them. */
  readonly pem?: { readonly ca?: string; readonly cert?: string; readonly key?: string } | undefined
  /** Takes any certificate, so that anybody on the way can read keys. */
  readonly dangerouslySkipVerification?: boolean | undefined
}

export interface TlsMaterial {
  /** Digest of everything below. */
  readonly fingerprint: string
  readonly ca: readonly string[] | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
}

export interface Expiry {
  readonly kind: CertificateKind
  /** Milliseconds since the epoch. */
  readonly notBefore: number
  readonly notAfter: number
}

const PEM_NAME = /\.(?:pem|crt|cer)$/
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g

/** @throws KmsError `unavailable`; whatever is wrong may be mended while the plugin runs */
export async function readTlsMaterial(options: TlsOptions): Promise<TlsMaterial> {
  const { caFile, caDir, certFile, keyFile, pem = {} } = options
  const ca = [
    ...(pem.ca === undefined ? [] : [pem.ca]),
    ...(caFile === undefined ? [] : [await read(caFile, 'tls.caFile')]),
    ...(caDir === undefined ? [] : await readFolder(caDir)),
  ]
  const cert = certFile === undefined ? pem.cert : await read(certFile, 'tls.certFile')
  const key = keyFile === undefined ? (pem.key ?? cert) : await read(keyFile, 'tls.keyFile')
  const material = {
    fingerprint: fingerprintOf([...ca, '', cert ?? '', key ?? '']),
    ca: ca.length === 0 ? undefined : ca,
    cert,
    key,
  }
  check(material)
  return material
}

/** The certificate of each kind that ends first, as far as the runtime can read them. */
export function expiriesOf({ ca, cert }: TlsMaterial): Expiry[] {
  const authorities = (ca ?? []).flatMap((pem) => expiriesIn(pem, 'authority'))
  const [firstEnd] = authorities.toSorted((a, b) => a.notAfter - b.notAfter)
  // What comes after the client's own certificate is its chain.
  const [client] = expiriesIn(cert ?? '', 'client')
  return [firstEnd, client].filter((expiry) => expiry !== undefined)
}

function expiriesIn(pem: string, kind: CertificateKind): Expiry[] {
  return (pem.match(CERTIFICATE) ?? []).flatMap((text) => {
    try {
      const { validFrom, validTo } = new X509Certificate(text)
      return [{ kind, notBefore: Date.parse(validFrom), notAfter: Date.parse(validTo) }]
    } catch {
      // Whether it can be used is judged by check(); this is for warnings alone.
      return []
    }
  })
}

function check({ ca, cert, key }: TlsMaterial): void {
  if (ca?.every(isWhole) === false) {
    throw unusable(
      'The authorities of tls.caFile or tls.caDir are no PEM certificates, or not whole',
    )
  }
  try {
    createSecureContext({
      ...(ca === undefined ? {} : { ca: [...ca] }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    })
  } catch (cause) {
    throw unusable(
      'TLS files cannot be used: wanted PEM certificates in tls.caFile, and in tls.certFile a certificate whose unencrypted key is in tls.keyFile or in the same file',
      cause,
    )
  }
}

/** The runtime leaves out what it cannot read, such as the end of a file that is being written. */
function isWhole(pem: string): boolean {
  const whole = pem.match(CERTIFICATE)?.length ?? 0
  return whole > 0 && whole === pem.match(/-----BEGIN /g)?.length
}

async function readFolder(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw unusable(`Cannot read folder "${folder}": check tls.caDir and its permissions`, cause)
  })
  const files = names.filter((name) => PEM_NAME.test(name)).sort()
  if (files.length === 0) throw unusable(`Folder "${folder}" of tls.caDir has no .pem or .crt file`)
  return await Promise.all(files.map((name) => read(join(folder, name), 'tls.caDir')))
}

async function read(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw unusable(`Cannot read file "${path}": check ${what} and its permissions`, cause)
  }
}

function fingerprintOf(texts: readonly string[]): string {
  const hash = createHash('sha256')
  for (const text of texts) hash.update(`${text.length}:`).update(text)
  return hash.digest('hex')
}

function unusable(message: string, cause?: unknown): KmsError {
  return new KmsError(message, { code: 'unavailable', cause })
}
