/**
 * The endpoint syntax of kube-apiserver, as far as this plugin serves it: a
 * filesystem socket (rules T7 to T9).
 *
 * @module
 */

import { KmsError } from './errors.ts'

/** Go refuses longer paths; Node would cut them off or fail later. */
const MAX_PATH_BYTES = 107
const SCHEME = 'unix://'
/** A server binds its socket under this name first, in a folder that nobody else may enter. */
export const DRAFT_SUFFIX = '.d/s'

/**
 * The path of `unix:///path` or of a plain absolute path.
 *
 * @throws KmsError `request_invalid` for anything else
 */
export function parseSocketPath(text: string): string {
  const path = unixPathOf(text) ?? text
  if (/^[a-z][a-z0-9+.-]*:/i.test(path)) {
    throw invalid('has a scheme other than unix://')
  }
  if (path.startsWith('@') || path.startsWith('/@')) {
    throw invalid('is abstract: KMS clients before Kubernetes 1.32 cannot use one, so name a file')
  }
  if (!path.startsWith('/') || path === '/') throw invalid('is not an absolute path')
  if (path.includes('\0')) throw invalid('contains a NUL byte')
  const bytes = new TextEncoder().encode(path).length
  if (bytes > MAX_PATH_BYTES) {
    throw invalid(`has ${bytes} bytes, more than the ${MAX_PATH_BYTES} that a unix socket takes`)
  }
  return path
}

/**
 * The same for a path to listen on, which leaves room for the name that the socket
 * is bound under first.
 *
 * @throws KmsError `request_invalid` for anything else
 */
export function parseListenPath(text: string): string {
  const path = parseSocketPath(text)
  const room = MAX_PATH_BYTES - DRAFT_SUFFIX.length
  if (new TextEncoder().encode(path).length <= room) return path
  throw invalid(`has more than the ${room} bytes that leave room for ${DRAFT_SUFFIX}`)
}

/** The path of an address `unix:///path`; undefined for any other address. */
export function unixPathOf(address: string): string | undefined {
  return address.startsWith(SCHEME) ? address.slice(SCHEME.length) : undefined
}

function invalid(what: string): KmsError {
  return new KmsError(
    `Socket path ${what}: wanted unix:///run/trousseau/kms.sock or /run/trousseau/kms.sock`,
    { code: 'request_invalid' },
  )
}
