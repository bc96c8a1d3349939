/** When the certificates of a connection expire, and which authority vouches for it. @module */

import { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import type { CertificateKind } from '../../base/events.ts'
import { CERTIFICATE } from './authorities.ts'
import { chainOf, nameIn } from './chain.ts'
import type { TlsMaterial } from './tls_files.ts'

export interface Expiry {
  readonly kind: CertificateKind
  /** Milliseconds since the epoch. */
  readonly notBefore: number
  readonly notAfter: number
}

const NEAR_MS = 14 * 86_400_000
const NEAR_PART = 0.1

/** A certificate is near its end two weeks before it, or in the last tenth of a short life. */
export function isNearEnd(
  { notBefore, notAfter }: Pick<Expiry, 'notBefore' | 'notAfter'>,
  now: number,
): boolean {
  return notAfter - now < Math.min(NEAR_MS, (notAfter - notBefore) * NEAR_PART)
}

/** Of this node's own certificate; what comes after it in the file is its chain. */
export function clientExpiry({ cert = '' }: TlsMaterial): Expiry[] {
  return certificatesIn(cert)
    .slice(0, 1)
    .map((own) => expiryOf(own, 'client'))
}

/** The authorities of a material, as far as the runtime can read them. */
export function authoritiesIn({ authorities }: TlsMaterial): X509Certificate[] {
  return (authorities?.pem ?? []).flatMap(certificatesIn)
}

/**
 * Of the service's certificate, and of the one among `authorities` that vouches for it: of
 * several the first on the way up. What else stands in the file is of no concern. A resumed
 * session may not show certificates again, and not every runtime shows whose they are.
 */
export function expiriesOf(socket: TLSSocket, authorities: readonly X509Certificate[]): Expiry[] {
  try {
    return expiriesAlong(chainOf(socket), authorities)
  } catch {
    // A certificate or key of a kind that the runtime cannot compare is no reason to lose the connection.
    return []
  }
}

function expiriesAlong(
  chain: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
): Expiry[] {
  const [server] = chain
  if (server === undefined) return []
  const vouching = chain.map((each) => voucherOf(each, authorities)).find((found) => found)
  return [
    expiryOf(server, 'server'),
    ...(vouching === undefined ? [] : [expiryOf(vouching, 'authority')]),
  ]
}

/** Names of those that have ended. */
export function endedAmong(authorities: readonly X509Certificate[], now: number): string[] {
  return authorities
    .filter((each) => Date.parse(each.validTo) < now)
    .map(({ subject }) => nameIn(subject))
}

/** The authority that this certificate is, or that signed it; of several the one that lasts longest. */
function voucherOf(
  certificate: X509Certificate,
  authorities: readonly X509Certificate[],
): X509Certificate | undefined {
  return authorities
    .filter(
      (each) =>
        each.fingerprint256 === certificate.fingerprint256 ||
        (certificate.checkIssued(each) && certificate.verify(each.publicKey)),
    )
    .toSorted((a, b) => Date.parse(b.validTo) - Date.parse(a.validTo))[0]
}

function expiryOf({ validFrom, validTo }: X509Certificate, kind: CertificateKind): Expiry {
  return { kind, notBefore: Date.parse(validFrom), notAfter: Date.parse(validTo) }
}

function certificatesIn(pem: string): X509Certificate[] {
  return (pem.match(CERTIFICATE) ?? []).flatMap((text) => {
    try {
      return [new X509Certificate(text)]
    } catch {
      // Whether it can be used is judged where it is read; this is for warnings alone.
      return []
    }
  })
}
