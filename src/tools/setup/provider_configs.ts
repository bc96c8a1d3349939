/** Selects the providers of a config that a command is about, and the key of its signer. @module */

import { ConfigError, loadConfig } from '../../config/load.ts'
import type { ProviderConfig } from '../../services/registry.ts'
import { policyText } from '../../services/vault/setup/policy.ts'

export interface ProviderOptions {
  /** The config file. */
  readonly config: string
  /** Name of the provider; where absent, all of the type. */
  readonly provider?: string | undefined
}

/** @throws ConfigError where the config has none */
export async function providersOf<T extends ProviderConfig['type']>(
  type: T,
  { config: path, provider }: ProviderOptions,
): Promise<Extract<ProviderConfig, { type: T }>[]> {
  const { providers } = await loadConfig(path)
  const found = providers
    .filter((config): config is Extract<ProviderConfig, { type: T }> => config.type === type)
    .filter(({ name }) => provider === undefined || name === provider)
  if (found.length > 0) return found
  const called = provider === undefined ? '' : ` called "${provider}"`
  throw new ConfigError([`${path}: has no provider of type ${type}${called}`])
}

/** The policy for the key of the signer, where that is in Vault and all are asked for. */
export async function signerPolicy({ config, provider }: ProviderOptions): Promise<string> {
  const { signer } = await loadConfig(config)
  if (provider !== undefined || signer?.key.type !== 'vault') return ''
  return `\n# The signer of ServiceAccount tokens\n\n${policyText({ ...signer.key, signs: true })}`
}
