/** `trousseau azurekms …`: what Azure must be told before the plugin may use its key. @module */

import { ConfigError, loadConfig } from '../config/load.ts'
import type { AzureKmsConfig } from '../providers/azurekms_config.ts'
import { azurePolicyText } from '../providers/azurekms_policy.ts'
import type { Io } from './io.ts'
import { EXIT } from './output.ts'
import type { VaultOptions } from './vault.ts'

/** @throws ConfigError */
export async function azurePolicy(
  { config: path, provider }: VaultOptions,
  io: Io,
): Promise<number> {
  const { providers } = await loadConfig(path)
  const configs = providers.filter(
    (config): config is AzureKmsConfig =>
      config.type === 'azurekms' && (provider === undefined || config.name === provider),
  )
  if (configs.length === 0) {
    const called = provider === undefined ? '' : ` called "${provider}"`
    throw new ConfigError([`${path}: has no provider of type azurekms${called}`])
  }
  io.out(configs.map(azurePolicyText).join('\n'))
  return EXIT.ok
}
