/**
 * Addresses of services: a host, maybe with the path that a gateway serves them under,
 * or the socket of an agent.
 *
 * @module
 */

/** Also for the JSON Schema of the config, so it stands alone. */
export const SERVICE_ADDRESS =
  /^(?:https?:\/\/[^/?#@\\\s]+(?:\/(?!\.{1,2}(?:\/|$))[\w.~-]+)*\/?|unix:\/\/\/\S+)$/

/** What was expected of an address that does not match {@link SERVICE_ADDRESS}; never quotes it. */
export function wantedOfAddress(text: string): string {
  const [, host = '', path = ''] = /^https?:\/\/([^/?#]*)([^?#]*)/.exec(text) ?? []
  if (host === '') return 'https://host:port, maybe with a path, or unix:///path of an agent'
  if (host.includes('@')) return 'an address without user and password'
  if (/[?#]/.test(text)) return 'an address without "?" and "#"'
  if (path.includes('//')) return 'a path without empty parts ("//")'
  if (/\/\.{1,2}(?:\/|$)/.test(path)) return 'a path without "." and ".." as its parts'
  return 'a path of letters, digits, "-", ".", "_" and "~" alone'
}

/** The same address in the one form that everything else compares: no slash at its end. */
export function normalAddress(text: string): string {
  if (text.startsWith('unix://')) return text
  const { origin, pathname } = new URL(text)
  return `${origin}${pathname.replace(/\/$/, '')}`
}

interface AddressParts {
  /** Where requests are sent; of a socket, the host that they name. */
  readonly origin: string
  /** What the path of each request begins with; empty, or begins with `/`. */
  readonly base: string
}

/** @param address as {@link normalAddress} gives it */
export function partsOfAddress(address: string): AddressParts {
  if (address.startsWith('unix://')) return { origin: 'http://localhost', base: '' }
  const { origin } = new URL(address)
  return { origin, base: address.slice(origin.length) }
}
