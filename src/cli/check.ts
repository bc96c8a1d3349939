/** The options of `trousseau check`. @module */

import type { Command } from 'commander'
import type { Io } from '../console/io.ts'
import { check } from '../tools/conformance/run.ts'
import type { Ending } from './command.ts'
import { socketPath } from './flags.ts'

export function addCheck(program: Command, io: Io, { short }: Ending): void {
  program
    .command('check')
    .description(
      "probe any plugin's socket by the rules of its contract; it encrypts and decrypts, or signs",
    )
    .requiredOption('--socket <path>', 'path of the socket, or unix:// and it', socketPath)
    .option('--signer', 'it is the socket of a signer of ServiceAccount tokens', false)
    .option('--json', 'print JSON', false)
    .action(({ socket, signer, json }: { socket: string; signer: boolean; json: boolean }) =>
      short(check({ socketPath: socket, signer, json }, io)),
    )
}
