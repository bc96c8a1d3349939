/** `trousseau gcpkms …`: what Google Cloud must be told before the plugin may use a key. @module */

import { gcpKmsPolicy } from '../providers/gcpkms_policy.ts'
import type { Io } from './io.ts'
import { EXIT } from './output.ts'
import { type ProviderOptions, providersOf } from './provider_configs.ts'

/** @throws ConfigError */
export async function gcpkmsPolicy(options: ProviderOptions, io: Io): Promise<number> {
  const configs = await providersOf('gcpkms', options)
  const texts = await Promise.all(configs.map(gcpKmsPolicy))
  io.out(texts.join('\n'))
  return EXIT.ok
}
