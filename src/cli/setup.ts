/** The options of `trousseau vault setup`. @module */

import type { Command } from 'commander'
import type { Io } from '../console/io.ts'
import { type SetupOptions, vaultSetup } from '../tools/setup/run.ts'
import { clientOf, type VaultClient } from '../tools/setup/vault_client.ts'
import type { Ending } from './command.ts'
import { clientOption, ofProvider, policyName, roleName } from './flags.ts'

export function addSetup(vault: Command, io: Io, { short }: Ending): void {
  ofProvider(vault, 'setup')
    .description('print the commands that set everything up, or do it over the API')
    .addOption(clientOption())
    .option(
      '--policy-name <name>',
      'name of the policy (default: trousseau-KEY, or trousseau-MOUNT-KEY)',
      policyName,
    )
    .option('--role <name>', 'name of the role (default: that of the policy)', roleName)
    .option('--apply', 'show the plan, and do it; nothing is ever deleted', false)
    .option('--dry-run', 'show the plan only', false)
    .option('--token-file <file>', "file with an administrator's token, for --apply and --dry-run")
    .option('--replace-policy', 'let --apply replace a policy that says something else', false)
    .option('--json', 'print the plan as JSON, with --apply or --dry-run', false)
    .action(async ({ cli, ...options }: SetupFlags, command: Command) => {
      const api = apiOf(options, command)
      return short(vaultSetup({ ...options, cli: await clientOf(io, cli), api }, io))
    })
}

interface SetupFlags extends Omit<SetupOptions, 'cli'> {
  readonly cli?: VaultClient
  readonly apply: boolean
  readonly dryRun: boolean
  readonly json: boolean
  readonly tokenFile?: string
}

function apiOf(flags: Omit<SetupFlags, 'cli'>, command: Command): SetupOptions['api'] {
  const { apply, dryRun, tokenFile, json: asJson } = flags
  const asks = apply || dryRun
  if (asks && tokenFile !== undefined) return { tokenFile, dryRun, json: asJson }
  if (asks)
    command.error("Options --apply and --dry-run need --token-file, an administrator's token")
  if (tokenFile !== undefined || flags.replacePolicy) {
    command.error('Options --token-file and --replace-policy need --apply or --dry-run')
  }
  if (asJson) {
    command.error('Option --json needs --apply or --dry-run: without them a script is printed')
  }
  return undefined
}
