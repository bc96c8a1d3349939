/** Parts of descriptors that all providers that speak HTTP share. @module */

import type { Remark } from '../base/provider.ts'
import type { Address, Paths } from './provider_descriptor.ts'

interface HttpConfig {
  readonly tls: {
    readonly caFile?: string | undefined
    readonly caDir?: string | undefined
    readonly certFile?: string | undefined
    readonly keyFile?: string | undefined
    readonly dangerouslySkipVerification?: boolean
  }
  readonly proxy?:
    | { readonly url: string; readonly credentialsFile?: string | undefined }
    | undefined
}

/** The folder in which the kubelet puts tokens that an API server issued. */
const FROM_API_SERVER = '/var/run/secrets/'

/** @param own files of the login and of the key */
export function httpPaths(
  { tls, proxy }: HttpConfig,
  own: readonly (string | undefined)[],
  sockets: readonly string[] = [],
): Paths {
  const files = [tls.caFile, tls.certFile, tls.keyFile, proxy?.credentialsFile, ...own]
  return { files: files.filter(isNamed), folders: [tls.caDir].filter(isNamed), sockets }
}

/** @param services the addresses of services that the config names */
export function httpAddresses(
  { proxy }: HttpConfig,
  services: readonly (string | undefined)[],
  metadata: readonly (string | undefined)[] = [],
): Address[] {
  const all = (urls: readonly (string | undefined)[], as: Address['as']) =>
    urls.filter(isNamed).map((url) => ({ url, as }))
  return [...all(services, 'service'), ...all([proxy?.url], 'proxy'), ...all(metadata, 'metadata')]
}

export function verificationRemarks({ tls }: HttpConfig): Remark[] {
  if (tls.dangerouslySkipVerification !== true) return []
  return [
    {
      id: 'tls-not-verified',
      level: 'error',
      what: 'takes any certificate (tls.dangerouslySkipVerification)',
      why: 'Anybody on the way can be the key service.',
      todo: 'Name the authority in tls.caFile, and take it out.',
    },
  ]
}

/**
 * Remarks about a login with a token that an API server issues.
 *
 * @param key the config's name for the token file
 */
export function issuedTokenRemarks(tokenFile: string | undefined, key: string): Remark[] {
  if (tokenFile?.startsWith(FROM_API_SERVER) !== true) return []
  return [
    {
      id: 'boot-kubernetes-login',
      level: 'warning',
      what: `logs in with a token of a ServiceAccount (${key})`,
      why: 'An API server issues it: if it is the one that this plugin serves, neither starts without the other. A static pod has no such token at all.',
      todo: 'Use a login with a credential of the node: docs/logins/cold-boot.md.',
    },
  ]
}

function isNamed(text: string | undefined): text is string {
  return text !== undefined
}
