/**
 * `trousseau TYPE policy`, for every type of provider that has one: the rights that the key service
 * must grant before the plugin may use its key.
 *
 * @module
 */

import type { Command } from 'commander'
import type { Io } from '../console/io.ts'
import { EXIT } from '../console/output.ts'
import type { Policy } from '../services/provider_descriptor.ts'
import {
  descriptorOf,
  PROVIDER_TYPES,
  type ProviderConfig,
  type ProviderType,
} from '../services/registry.ts'
import { type ProviderOptions, providersOf, signerPolicy } from '../tools/setup/provider_configs.ts'
import type { AddCommand, Ending } from './command.ts'
import { ofProvider } from './flags.ts'
import { addSetup } from './setup.ts'

/** Further commands of a type, besides its policy. */
const MORE: Readonly<Partial<Record<ProviderType, AddCommand>>> = { vault: addSetup }

export function addPolicies(program: Command, io: Io, end: Ending): void {
  for (const type of PROVIDER_TYPES) {
    const { policy } = descriptorOf({ type })
    if (policy === undefined) continue
    const parent = program.command(type).description(policy.about)
    ofProvider(parent, 'policy')
      .description(policy.does)
      .action((options: ProviderOptions) => end.short(printPolicy(type, policy, options, io)))
    MORE[type]?.(parent, io, end)
  }
}

/** @throws ConfigError, or KmsError where the policy would allow something else than it seems to */
async function printPolicy(
  type: ProviderType,
  policy: Policy<ProviderConfig>,
  options: ProviderOptions,
  io: Io,
): Promise<number> {
  const { text, warnings } = await policy.print(await providersOf(type, options))
  for (const warning of warnings) io.err(`trousseau: ${warning}\n`)
  io.out(type === 'vault' ? `${text}${await signerPolicy(options)}` : text)
  return EXIT.ok
}
