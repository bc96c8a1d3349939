/**
 * What a service showed that was not trusted, kept with the failure: names alone, so that
 * the operator sees at once whose certificate it is.
 *
 * @module
 */

import { isIP } from 'node:net'
import { connect, type PeerCertificate, type TLSSocket } from 'node:tls'
import { printable } from './expiry.ts'

const shown = new WeakMap<Error, string>()
const MAX_NAMES = 5

export function keepPresented(error: Error, names: string): void {
  shown.set(error, names)
}

/** Such as `"vault", issued by "Issuing CA", issued by "Root CA"`; of the first error in the chain that has it. */
export function presentedWith(error: unknown): string | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const names = shown.get(at)
    if (names !== undefined) return names
  }
  return undefined
}

/** Undefined where the runtime shows nothing. */
export function presentedBy(socket: TLSSocket): string | undefined {
  const names: string[] = []
  let at = socket.getPeerCertificate(true)
  while (at?.subject !== undefined && names.length < MAX_NAMES) {
    if (names.length === 0) names.push(nameOf(at.subject))
    names.push(nameOf(at.issuer))
    if (at.issuerCertificate === at) break
    at = at.issuerCertificate
  }
  // An authority that signed itself stands there twice.
  const [first, ...others] = names.filter((name, index) => name !== names[index - 1] || index === 1)
  if (first === undefined) return undefined
  return [`"${first}"`, ...others.map((name) => `issued by "${name}"`)].join(', ')
}

function nameOf(name: PeerCertificate['subject']): string {
  const [known = 'nobody'] = [name.CN, name.OU, name.O].filter((each) => each !== undefined)
  return printable(String(known))
}

const LOOK_LIMIT_MS = 1_000

/**
 * What whoever listens there shows, where the failure brought no names: nothing is sent, and
 * nothing of it is believed.
 */
export function presentedAt(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const name = isIP(host) === 0 ? { servername: host } : {}
    const socket = connect({ host, port, ...name, rejectUnauthorized: false })
    const end = (names: string | undefined) => {
      socket.destroy()
      resolve(names)
    }
    socket.setTimeout(LOOK_LIMIT_MS, () => end(undefined))
    socket.once('secureConnect', () => end(presentedBy(socket)))
    socket.on('error', () => end(undefined))
  })
}
