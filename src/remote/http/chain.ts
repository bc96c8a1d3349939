/**
 * The certificates that the other end shows, and their names. Something in between may show any
 * certificate, so nothing here throws, and nothing is trusted because of it.
 *
 * @module
 */

import { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'

/** Longer chains are followed no further. */
const MAX_CHAIN = 10
const MAX_NAME = 80

/** Its own certificate and those above it, as far as they are shown or known. */
export function chainOf(socket: TLSSocket): X509Certificate[] {
  const chain: X509Certificate[] = []
  try {
    let at = socket.getPeerCertificate(true)
    while (at?.raw !== undefined && chain.length < MAX_CHAIN) {
      const certificate = new X509Certificate(at.raw)
      // One that signed itself is shown as its own issuer.
      if (certificate.fingerprint256 === chain.at(-1)?.fingerprint256) break
      chain.push(certificate)
      at = at.issuerCertificate
    }
  } catch {
    // What cannot be read ends the chain.
  }
  return chain
}

/** The common name in a name of several lines, or what stands last in it; printable. */
export function nameIn(name: string | undefined): string {
  const lines = name?.split('\n') ?? []
  const common = lines.find((line) => line.startsWith('CN='))?.slice('CN='.length)
  const shown = common ?? lines.at(-1) ?? ''
  return shown === '' ? 'no name' : shown.replaceAll(/[^\w .,:*@/()=+-]/g, '?').slice(0, MAX_NAME)
}
