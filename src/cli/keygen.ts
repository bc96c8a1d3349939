/** The options of `trousseau keygen`. @module */

import type { Command } from 'commander'
import type { Io } from '../console/io.ts'
import { keygen } from '../tools/keys/local_key.ts'
import type { Ending } from './command.ts'

export function addKeygen(program: Command, io: Io, { short }: Ending): void {
  program
    .command('keygen')
    .description('make a key file for the local provider; nothing is ever overwritten')
    .argument('<file>', 'the key file')
    .option('--add-version', 'add a key version to a file that exists', false)
    .option('--json', 'print JSON', false)
    .action((file: string, options: { addVersion: boolean; json: boolean }) =>
      short(keygen({ file, ...options }, io)),
    )
}
