/**
 * What OpenShift's own operators can run: the settings that they pass to a KMS plugin, and the
 * rules of their `APIServer` resource, which `config/v1/types_kmsencryption.go` of
 * `github.com/openshift/api` has. The cluster would say the same only once somebody applies it.
 *
 * @module
 */

import type { Config } from '../../config/schema.ts'
import { addressesOf, type VaultConfig } from '../../services/vault/config.ts'
import type { Plan } from './plan.ts'

/** The AppRole of a provider that the operators can run. */
interface OpenShiftAuth {
  readonly method: 'approle'
  readonly mount: string
  readonly namespace?: string | undefined
  readonly roleId?: string | undefined
  readonly roleIdFile?: string | undefined
  readonly secretIdFile: string
}

/** What the operators are given. */
export interface OpenShiftVault {
  readonly name: string
  readonly address: string
  readonly namespace: string | undefined
  readonly mount: string
  readonly key: string
  readonly caFile: string | undefined
  readonly serverName: string | undefined
  readonly auth: OpenShiftAuth
}

const IMAGE_NAME = /^(?:[a-z\d-]+\.)+[a-z\d-]+(?::\d{2,5})?(?:\/[\w.-]+)+$/i
const IMAGE_DIGEST = /^sha256:[a-f\d]{64}$/
const IMAGE_LENGTHS = { least: 75, most: 447 }
const HOST = /^[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?(?:\.[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?)*$/
const MAX_HOST = 253
const MAX_ADDRESS = 512
const KEY = /^\w(?:[\w.-]*\w)?$/
/** Names that the resource takes for no namespace. */
const RESERVED = new Set(['root', 'sys', 'audit', 'auth', 'cubbyhole', 'identity'])

/** The provider that the operators can run, or one line for each thing that they cannot. */
export function openShiftVault({ config, image }: Pick<Plan, 'config' | 'image'>): {
  readonly vault?: OpenShiftVault
  readonly problems: readonly string[]
} {
  const [provider, ...more] = config.providers
  if (provider?.type !== 'vault' || more.length > 0) {
    return { problems: ['providers: wanted one provider of type vault, which is all they can run'] }
  }
  const { auth } = provider
  if (
    auth.method !== 'approle' ||
    auth.secretIdFile === undefined ||
    auth.wrappedRole !== undefined
  ) {
    return {
      problems: ['providers.0.auth: wanted method approle with secretIdFile, and no wrappedRole'],
    }
  }
  const problems = [
    ...imageProblems(image),
    ...unpassed(config, provider),
    ...valueProblems(provider, auth.namespace),
  ]
  const { mount = 'transit', key = '', tls, name, namespace } = provider
  const [address = ''] = addressesOf(provider)
  const { secretIdFile } = auth
  const { caFile, serverName } = tls
  const vault = {
    name,
    address,
    namespace,
    mount,
    key,
    caFile,
    serverName,
    auth: { ...auth, secretIdFile },
  }
  return problems.length > 0 ? { problems } : { vault, problems }
}

function imageProblems(image: string): string[] {
  const [name = '', digest = '', ...more] = image.split('@')
  const { least, most } = IMAGE_LENGTHS
  const fits = image.length >= least && image.length <= most
  if (fits && more.length === 0 && IMAGE_NAME.test(name) && IMAGE_DIGEST.test(digest)) return []
  return ['--image: wanted registry.example.com/name@sha256:DIGEST: the host with a dot, no tag']
}

/** Settings for which the operators have no argument, and without which the plugin would be another one. */
function unpassed({ protection, recovery, signer }: Config, provider: VaultConfig): string[] {
  const { auth, tls } = provider
  const settings: Readonly<Record<string, boolean>> = {
    recovery: recovery !== undefined,
    signer: signer !== undefined,
    protection: protection !== 'any',
    'providers.0.id': provider.id !== undefined,
    'providers.0.formerIds': provider.formerIds !== undefined,
    'providers.0.reads': provider.reads !== undefined,
    'providers.0.decryptOnly': provider.decryptOnly === true,
    'providers.0.activeFrom': provider.activeFrom !== undefined,
    'providers.0.allowUnboundDecrypt': provider.allowUnboundDecrypt,
    'providers.0.settingsFrom': provider.settingsFrom !== undefined,
    'providers.0.proxy': provider.proxy !== undefined,
    'providers.0.addresses': addressesOf(provider).length > 1,
    'providers.0.tls.caDir': tls.caDir !== undefined,
    'providers.0.tls.certFile': tls.certFile !== undefined,
    'providers.0.tls.dangerouslySkipVerification': tls.dangerouslySkipVerification,
    'providers.0.auth.mount': 'mount' in auth && auth.mount !== 'approle',
  }
  return Object.entries(settings)
    .filter(([, used]) => used)
    .map(([key]) => `${key}: the operators have no argument for it: leave it out`)
}

function valueProblems(provider: VaultConfig, authNamespace: string | undefined): string[] {
  const { namespace, key = '', tls } = provider
  const [address = ''] = addressesOf(provider)
  const { serverName = '' } = tls
  const checks: readonly [key: string, wrong: boolean, wanted: string][] = [
    ['providers.0.address', !isPlainOrigin(address), 'https://host:port without a path'],
    [
      'providers.0.key',
      !KEY.test(key),
      'a name that begins and ends with a letter, a digit or "_"',
    ],
    ['providers.0.namespace', RESERVED.has(namespace ?? ''), 'none of the names of Vault itself'],
    [
      'providers.0.auth.namespace',
      RESERVED.has(authNamespace ?? ''),
      'none of the names of Vault itself',
    ],
    [
      'providers.0.tls.serverName',
      serverName !== '' && !isHost(serverName),
      'a host name in lower case',
    ],
  ]
  return checks.filter(([, wrong]) => wrong).map(([at, , wanted]) => `${at}: wanted ${wanted}`)
}

function isPlainOrigin(address: string): boolean {
  if (!URL.canParse(address) || address.length > MAX_ADDRESS) return false
  const { protocol, pathname } = new URL(address)
  return protocol === 'https:' && pathname === '/'
}

function isHost(name: string): boolean {
  return name.length <= MAX_HOST && HOST.test(name)
}
