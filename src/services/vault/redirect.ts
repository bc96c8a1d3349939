/**
 * Where a standby redirects clients that it does not serve: to the `api_addr` of the active node,
 * followed by the path of the request. A node behind a gateway does not know the path prefix of the
 * gateway, so its redirect may come with or without it.
 *
 * @module
 */

import { KmsError } from '../../base/errors.ts'
import { partsOfAddress } from '../../remote/http/address.ts'
import type { HttpAnswer } from '../../remote/http/client.ts'

const REDIRECTS = new Set([301, 302, 303, 307, 308])

export function isRedirect({ status }: HttpAnswer): boolean {
  return REDIRECTS.has(status)
}

/**
 * The one of `addresses` that a redirect leads to; undefined for any other place. A redirect is
 * followed only to a node that the operator named, and never from https to http.
 *
 * @param path of the request, without the path of the address
 */
export function redirectTarget(
  answer: HttpAnswer,
  path: string,
  addresses: readonly string[],
): string | undefined {
  const to = placeOf(answer)
  if (to === undefined || !isOfVault(to, path)) return undefined
  if (answer.address.startsWith('https:') && to.protocol !== 'https:') return undefined
  const whole = addresses.find((address) => `${address}${barePath(path)}` === to.href)
  if (whole !== undefined) return whole
  if (to.pathname !== barePath(path)) return undefined
  const others = addresses.filter((address) => address !== answer.address)
  const [only, ...more] = others.filter((address) => partsOfAddress(address).origin === to.origin)
  return more.length === 0 ? only : undefined
}

/** @param path of the request, without the path of the address */
export function redirectedAway(answer: HttpAnswer, path: string): KmsError {
  const message = `${answer.address} ${sayRedirect(answer, placeOf(answer), path)}`
  return new KmsError(message, { code: 'unavailable' })
}

function sayRedirect({ address, status }: HttpAnswer, to: URL | undefined, path: string): string {
  const host = to?.host.replaceAll(/[^\w.:[\]-]/g, '?') ?? 'nowhere'
  if (to !== undefined && !isOfVault(to, path)) {
    return `answered ${status} with a redirect to ${host}, as a login page or a gateway does and Vault or OpenBao never: see that the address is right, with its path, and that nothing in between wants a login`
  }
  if (to?.origin === partsOfAddress(address).origin) {
    return 'is a standby that redirects to this same host, where no active node answers for it'
  }
  if (to?.protocol === 'http:' && address.startsWith('https:')) {
    return `is a standby that redirects to http://${host}, where anybody on the way could read along: give it an api_addr with https://`
  }
  return `is a standby that redirects to ${host}, which addresses does not name: name every node, by the address that the service itself gives as api_addr`
}

/** The target of the redirect, without its query. */
function placeOf({ address, header }: HttpAnswer): URL | undefined {
  const location = header('location')
  const { origin } = partsOfAddress(address)
  if (location === undefined || !URL.canParse(location, origin)) return undefined
  const to = new URL(location, origin)
  to.search = ''
  to.hash = ''
  return to
}

/** A node of the service redirects to the same request at another address. */
function isOfVault({ pathname }: URL, path: string): boolean {
  return pathname.endsWith(barePath(path))
}

function barePath(path: string): string {
  return path.replace(/\?.*/s, '')
}
