/** The options of `trousseau migrate`. @module */

import { type Command, InvalidArgumentError, Option } from 'commander'
import type { Io } from '../console/io.ts'
import { type MigrateFlags, migrate } from '../tools/migrate/run.ts'
import type { Ending } from './command.ts'
import { socketPath, waiting } from './flags.ts'
import { commaList } from './lists.ts'
import { addEtcdOptions, checkEtcdFlags } from './storage_options.ts'

const MAX_RATE = 10_000
/**
 * An API server asks its plugins every minute, and every 20 s while something checks its readiness.
 */
const WAIT_MS = 120_000

export function addMigrate(program: Command, io: Io, { done }: Ending): void {
  const command = program
    .command('migrate')
    .description('have objects rewritten, so that they are encrypted with the current key')
    .option(
      '--kubeconfig <file>',
      'of a user who may list and patch (default: as kubectl finds it)',
    )
    .option('--context <name>', 'of the kubeconfig')
    .option('--resources <list>', 'what to rewrite: secrets,widgets.example.org,*.apps', commaList)
    .option('--encryption-config <file>', 'or what this EncryptionConfiguration encrypts')
    .addOption(
      new Option('--method <how>', "by the cluster's StorageVersionMigration, or object by object")
        .choices(['auto', 'controller', 'rewrite'])
        .default('auto'),
    )
    .option('--rate <number>', 'objects a second, at most', rate, 100)
    .option('--state <file>', 'file that keeps the progress, so that a stopped run can go on')
    .option(
      '--socket <path>',
      "the plugin's: waits until the API server uses its key id",
      socketPath,
    )
    .option('--config <file>', "or the plugin's config, for all its sockets")
    .option('--key-id <id>', 'or the key id itself')
    .addOption(
      new Option('--wait <duration>', 'how long to wait for that')
        .argParser(waiting)
        .default(WAIT_MS, '2m'),
    )
    .option('--dry-run', 'say what would be done, and change nothing', false)
    .option('--json', 'print JSON', false)
  addEtcdOptions(command).action(async (flags: MigrateFlags) => {
    checkEtcdFlags(flags, command)
    if (flags.resources !== undefined && flags.encryptionConfig !== undefined) {
      command.error('Of the options --resources and --encryption-config one is enough')
    }
    done(await migrate(flags, io))
  })
}

function rate(text: string): number {
  const number = Number(text)
  if (number > 0 && number <= MAX_RATE) return number
  throw new InvalidArgumentError(`Wanted a number from 1 to ${MAX_RATE}`)
}
