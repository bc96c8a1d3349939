/** `trousseau azurekms …`: what Azure must be told before the plugin may use its key. @module */

import { azurePolicyText } from '../providers/azurekms_policy.ts'
import type { Io } from './io.ts'
import { EXIT } from './output.ts'
import { type ProviderOptions, providersOf } from './provider_configs.ts'

/** @throws ConfigError */
export async function azurePolicy(options: ProviderOptions, io: Io): Promise<number> {
  const configs = await providersOf('azurekms', options)
  io.out(configs.map(azurePolicyText).join('\n'))
  return EXIT.ok
}
