/**
 * Certificates and keys for TLS, from files that change under us: an authority is
 * renewed, the kubelet rotates its certificate, a projected volume swaps a link.
 *
 * @module
 */

import { createHash } from 'node:crypto'
import {
  createSecureContext,
  rootCertificates,
  type SecureContextOptions,
  setDefaultCACertificates,
} from 'node:tls'
import { KmsError, systemCodeOf, systemReasonOf } from '../../base/errors.ts'
import { readSmallFile } from '../../base/small_file.ts'
import { type Authorities, readAuthorities } from './authorities.ts'

export interface TlsOptions {
  /** PEM of the authorities that may vouch for the service; those that the runtime was built with where absent. */
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
  /** Undefined where the runtime's own authorities count. */
  readonly authorities: Authorities | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
}

/** @throws KmsError `unavailable`; whatever is wrong may be corrected while the plugin runs */
export async function readTlsMaterial(options: TlsOptions): Promise<TlsMaterial> {
  const { caFile, caDir, certFile, keyFile, pem = {} } = options
  const own = caFile === undefined && caDir === undefined && pem.ca === undefined
  const authorities = own ? undefined : await readAuthorities({ caFile, caDir, text: pem.ca })
  const cert = certFile === undefined ? pem.cert : await read(certFile, 'tls.certFile')
  const key = keyFile === undefined ? (pem.key ?? cert) : await read(keyFile, 'tls.keyFile')
  const fingerprint = fingerprintOf([...(authorities?.pem ?? []), '', cert ?? '', key ?? ''])
  const material = { fingerprint, authorities, cert, key }
  check(material)
  return material
}

let trustsBundled = false

/**
 * The environment can give the runtime more authorities (NODE_EXTRA_CA_CERTS, DENO_CERT, the system's
 * store), which no config names: from now on those that it was built with count alone.
 */
function trustBundled(): void {
  if (trustsBundled) return
  setDefaultCACertificates(rootCertificates)
  trustsBundled = true
}

/** What a connection trusts, without the client's own certificate. */
export function trustOf({ authorities }: Pick<TlsMaterial, 'authorities'>): SecureContextOptions {
  if (authorities === undefined) {
    // Once and for all: as `ca` they would be parsed for every connection.
    trustBundled()
    return {}
  }
  // Whom the operator names is trusted as he stands there, also one that another authority vouches
  // for: Go's clients take it so, and organisations hand out their issuing authority alone.
  return { ca: [...authorities.pem], allowPartialTrustChain: true }
}

/** What a connection shows of itself. */
export function identityOf({ cert, key }: TlsMaterial): SecureContextOptions {
  return {
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  }
}

function check(material: TlsMaterial): void {
  try {
    createSecureContext({ ...trustOf(material), ...identityOf(material) })
  } catch (cause) {
    throw unusable(`TLS files cannot be used: ${whyOf(systemCodeOf(cause) ?? '')}`, cause)
  }
}

function whyOf(code: string): string {
  if (/KEY_TOO_SMALL|KEY_TOO_WEAK/.test(code)) {
    return 'the key of tls.certFile is too short: wanted RSA of 2048 bits or more, or an elliptic curve'
  }
  return 'wanted PEM certificates in tls.caFile, and in tls.certFile a certificate whose unencrypted key is in tls.keyFile or in the same file'
}

async function read(path: string, what: string): Promise<string> {
  try {
    return await readSmallFile(path)
  } catch (cause) {
    throw unusable(`Cannot read file "${path}" of ${what}: ${systemReasonOf(cause)}`, cause)
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
