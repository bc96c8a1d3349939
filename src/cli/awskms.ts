/** `trousseau awskms …`: what AWS must be told before the plugin may use a key. @module */

import { keyNameOf } from '../providers/awskms_config.ts'
import { awsKmsPolicy } from '../providers/awskms_policy.ts'
import type { Io } from './io.ts'
import { EXIT } from './output.ts'
import { type ProviderOptions, providersOf } from './provider_configs.ts'

/** @throws ConfigError */
export async function awskmsPolicy(options: ProviderOptions, io: Io): Promise<number> {
  const configs = await providersOf('awskms', options)
  for (const config of configs.filter((one) => keyNameOf(one).kind === 'alias')) {
    const warning = `Provider "${config.name}" names an alias: a key that loses it is denied by this policy, also while it is in use; name the key by its ARN`
    io.err(`trousseau: ${warning}\n`)
  }
  io.out(awsKmsPolicy(configs))
  return EXIT.ok
}
