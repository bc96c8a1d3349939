/** The options of `trousseau scan`. @module */

import type { Command } from 'commander'
import type { Io } from '../console/io.ts'
import { type ScanFlags, scan } from '../tools/scan/run.ts'
import type { Ending } from './command.ts'
import { socketPath } from './flags.ts'
import { resourceNames } from './lists.ts'
import { addStorageOptions, checkStorage } from './storage_options.ts'

export function addScan(program: Command, io: Io, { short }: Ending): void {
  const command = program
    .command('scan')
    .description(
      'say whether the cluster is encrypted, and with what: counts the objects in etcd, which is found automatically on a control-plane node, or in a snapshot; nothing is decrypted or written',
    )
  addStorageOptions(command)
    .option(
      '--config <file>',
      "the plugin's config: objects ought to be under the key ids of its sockets",
    )
    .option('--socket <path>', 'or the socket of any plugin', socketPath)
    .option('--key-id <id>', 'or the key id itself')
    .option(
      '--resources <list>',
      'resources that must be encrypted too, besides secrets; comma between, or *',
      resourceNames,
    )
    .option('--json', 'print JSON', false)
    .action((flags: ScanFlags) => {
      checkStorage(flags, command)
      const said = [flags.keyId, flags.socket, flags.config].filter((each) => each !== undefined)
      if (said.length > 1)
        command.error('Of the options --config, --socket and --key-id one is enough')
      return short(scan(flags, io))
    })
}
