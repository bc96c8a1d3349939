/**
 * The input for setting up a key service: a provider's config, and the operator's choices.
 *
 * @module
 */

import { KmsError } from '../../../base/errors.ts'
import type { ProxyOptions } from '../../../remote/http/proxy.ts'
import type { TlsOptions } from '../../../remote/http/tls_files.ts'
import { addressesOf, type VaultConfig } from '../config.ts'
import { loginNamespace, type VaultAuth } from '../login/auth.ts'
import type { PolicyInput } from './policy.ts'

export interface SetupInput extends PolicyInput {
  /** The name of the provider. */
  readonly name: string
  readonly address: string
  readonly tls: TlsOptions
  readonly proxy?: ProxyOptions | undefined
  readonly auth: VaultAuth
}

export interface SetupChoices {
  /** The client that the operator uses. */
  readonly cli: 'vault' | 'bao'
  readonly policyName?: string | undefined
  readonly role?: string | undefined
  /** Allows a policy of the same name to be replaced. */
  readonly replacePolicy: boolean
}

/** Input and choices, with all names decided. */
export interface Setup {
  readonly input: SetupInput
  readonly cli: 'vault' | 'bao'
  readonly policyName: string
  /** The name that earlier versions gave the policy, where it differs. */
  readonly olderName?: string | undefined
  /** What tokens come from: the role, or for `userpass` the user. */
  readonly role: string
  readonly replacePolicy: boolean
}

/** Names contain the mount unless it is this one. */
const USUAL_MOUNT = 'transit'

/**
 * The only function that reads the provider's config.
 *
 * @throws KmsError `request_invalid` for a config that can only be set up by hand
 */
export function setupInputOf(config: VaultConfig): SetupInput {
  const { name, namespace, mount = USUAL_MOUNT, key, settingsFrom, tls, proxy, auth } = config
  const [address = ''] = addressesOf(config)
  if (key === undefined) {
    throw byHand('The key of the config is in settingsFrom: write mount and key into the config')
  }
  const login = loginNamespace(auth)
  if (login !== undefined && login !== namespace) {
    throw byHand('Login and key are in two namespaces: set both up by hand, as docs/logins say')
  }
  return { name, address, namespace, mount, key, settingsFrom, tls, proxy, auth }
}

function byHand(message: string): KmsError {
  return new KmsError(message, { code: 'request_invalid' })
}

/** @throws KmsError `request_invalid` where the operator and the config name different roles */
export function decideNames(input: SetupInput, choices: SetupChoices): Setup {
  const { cli, replacePolicy } = choices
  const configured = roleInConfig(input.auth)
  if (configured !== undefined && choices.role !== undefined && choices.role !== configured) {
    throw new KmsError(`Config names "${configured}" as the role: leave --role out`, {
      code: 'request_invalid',
    })
  }
  // Named after mount and key, so that two clusters at one key service do not share a policy. In
  // lower case, since the service turns names of policies into lower case.
  const short = `trousseau-${input.key}`.toLowerCase()
  const long = `trousseau-${input.mount.replaceAll('/', '-')}-${input.key}`.toLowerCase()
  const policyName = choices.policyName ?? (input.mount === USUAL_MOUNT ? short : long)
  const olderName = choices.policyName === undefined && policyName !== short ? short : undefined
  const role = configured ?? choices.role ?? policyName
  for (const name of [input.key, role]) checkName(name)
  return { input, cli, policyName, olderName, role, replacePolicy }
}

/** The service has no path for other names, and would say so only after other steps. */
function checkName(name: string): void {
  if (/^\w(?:[\w.@-]*\w)?$/.test(name)) return
  throw new KmsError(
    `Name "${name}" begins or ends with a character that the service takes only inside: wanted a letter, a digit or "_" there`,
    { code: 'request_invalid' },
  )
}

function roleInConfig(auth: VaultAuth): string | undefined {
  switch (auth.method) {
    case 'kubernetes':
    case 'jwt':
    case 'cert':
      return auth.role
    case 'approle':
      return auth.wrappedRole
    case 'userpass':
      return auth.username
    default:
      return undefined
  }
}
