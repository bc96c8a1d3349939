/** Selects the providers of a config that a command is about. @module */

import { ConfigError, loadConfig } from '../../config/load.ts'
import type { ProviderConfig } from '../../services/registry.ts'

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
