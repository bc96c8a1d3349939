/** Why there was no answer, in words that say what to look at. @module */

import { systemCodeOf } from '../../base/errors.ts'
import { presentedWith } from './presented.ts'

/** A connection that was not made, with the reason in words that need no others. */
export class NoConnectionError extends Error {
  override readonly name = 'NoConnectionError'
}

/** The connection went away under the request, as an idle one does when the service restarts. */
const STALE = new Set([
  'UND_ERR_SOCKET',
  'ECONNRESET',
  'EPIPE',
  'UND_ERR_CLOSED',
  'UND_ERR_DESTROYED',
])
/** What a certificate or an authority that was replaced looks like. */
const TLS_FAULT =
  /CERT|SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET)|^ERR_(?:TLS|SSL)|^EPROTO$|^INVALID_(?:PURPOSE|CA)$|^PATH_LENGTH|^UNSPECIFIED$/

export function isStale(error: unknown): boolean {
  return STALE.has(systemCodeOf(error) ?? '')
}

export function isTlsFault(error: unknown): boolean {
  return TLS_FAULT.test(systemCodeOf(error) ?? '')
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused, so nothing listens there',
  ECONNRESET: 'connection reset',
  EPIPE: 'connection reset',
  UND_ERR_SOCKET: 'connection closed by the service',
  UND_ERR_CONNECT_TIMEOUT: 'no connection in time',
  ETIMEDOUT: 'no connection in time',
  ENOENT: 'no such socket: is the agent running?',
  EACCES: 'this process may not open the socket',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
  ENOTFOUND: 'the name does not resolve: check the address and the resolver of the node',
  EAI_AGAIN: 'the name does not resolve now: check the resolver of the node',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name: check tls.serverName',
  CERT_HAS_EXPIRED: 'its certificate has expired, or one of an authority above it',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet: check the clock of this node',
  INVALID_PURPOSE:
    'its certificate is not for servers: have it issued with the extended key usage serverAuth',
  INVALID_CA: 'who signed its certificate is no authority (basicConstraints)',
  PATH_LENGTH_EXCEEDED: 'an authority above its certificate may not have others below it',
}

/** By the code and the words of OpenSSL and undici, which are no one else's; the first that fits. */
const KINDS: readonly (readonly [RegExp, string])[] = [
  [
    /alert[_ ](?:bad[_ ]certificate|unknown[_ ]ca|certificate|handshake[_ ]failure|access[_ ]denied|unsupported[_ ]cert)/i,
    'it does not take the certificate of this node, or wants one: check tls.certFile, and at the service the authority of clients',
  ],
  [/protocol[_ ]version|unsupported[_ ]protocol/i, 'it speaks no TLS 1.2 or later'],
  [
    /wrong[_ ]version[_ ]number|packet[_ ]length[_ ]too[_ ]long/i,
    'it speaks no TLS there: is it http://, or another port?',
  ],
  [
    /digest algorithm too weak/,
    'its certificate, or one above it, is signed with SHA-1 or MD5: have it issued anew with SHA-256',
  ],
  [
    /key too (?:weak|small)/,
    'the key of its certificate, or of one above it, is too short: wanted RSA of 2048 bits or more, or an elliptic curve',
  ],
  [
    /Proxy Authentication Required/,
    'the proxy wants credentials, or others: check proxy.credentialsFile',
  ],
  [
    /SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET)/,
    'its certificate is not trusted, as none of the authorities of tls.caFile or tls.caDir vouches for it',
  ],
]

export function reasonOf(error: unknown): string {
  const reason = plainReason(error)
  const names = isTlsFault(error) ? presentedWith(error) : undefined
  return names === undefined ? reason : `${reason}; it shows ${names}`
}

function plainReason(error: unknown): string {
  if (error instanceof NoConnectionError) return error.message
  const code = systemCodeOf(error)
  const known = REASONS[code ?? '']
  if (known !== undefined) return known
  const { name, message } = error instanceof Error ? error : new Error()
  if (name === 'HTTPParserError') return 'it speaks no HTTP there: is it https://, or another port?'
  const kind = KINDS.find(([words]) => words.test(`${code} ${message}`))
  if (kind !== undefined) return kind[1]
  if (isTlsFault(error)) {
    return 'its certificate is not trusted, or it does not trust ours: check tls.caFile and tls.certFile'
  }
  return code ?? 'the connection failed; with https check tls.caFile'
}
