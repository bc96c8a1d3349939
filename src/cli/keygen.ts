/** The options of `trousseau keygen`. @module */

import { type Command, Option } from 'commander'
import type { Io } from '../console/io.ts'
import { type KeygenOptions, keygen } from '../tools/keys/local_key.ts'
import type { Ending } from './command.ts'

export function addKeygen(program: Command, io: Io, { short }: Ending): void {
  program
    .command('keygen')
    .description('make a key file for the local provider or signer; nothing is ever overwritten')
    .argument('<file>', 'the key file')
    .option('--add-version', 'add a key version to a file that exists', false)
    .addOption(
      new Option('--signer [algorithm]', 'make the key that signs ServiceAccount tokens')
        .choices(['ES256', 'ES384', 'ES512', 'RS256'])
        .preset('ES256'),
    )
    .option('--json', 'print JSON', false)
    .action((file: string, options: Omit<KeygenOptions, 'file'>) =>
      short(keygen({ file, ...options }, io)),
    )
}
