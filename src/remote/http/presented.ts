/**
 * What a service showed that was not trusted, kept with the failure: names alone, so that
 * the operator sees at once whose certificate it is.
 *
 * @module
 */

import type { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import { chainOf, nameIn } from './chain.ts'

const shown = new WeakMap<Error, string>()

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
  const [own, ...above] = chainOf(socket)
  if (own === undefined) return undefined
  const issuers = [own, ...above.filter((each) => !isSelfSigned(each))]
  const names = issuers.map(({ issuer }) => `issued by "${nameIn(issuer)}"`)
  return [`"${nameIn(own.subject)}"`, ...names].join(', ')
}

function isSelfSigned({ subject, issuer }: X509Certificate): boolean {
  return subject === issuer
}

const LIMIT_MS = 1_000

/**
 * What the listener there shows, where the failure brought no names: nothing is sent, and nothing
 * of it is trusted.
 */
export function presentedAt(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const name = isIP(host) === 0 ? { servername: host } : {}
    const socket = connect({ host, port, ...name, rejectUnauthorized: false })
    const end = (names: string | undefined) => {
      socket.destroy()
      resolve(names)
    }
    socket.setTimeout(LIMIT_MS, () => end(undefined))
    socket.once('secureConnect', () => end(presentedBy(socket)))
    socket.on('error', () => end(undefined))
  })
}
