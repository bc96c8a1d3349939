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
      "probe any plugin's socket by the rules of the KMS contract; it encrypts and decrypts",
    )
    .requiredOption('--socket <path>', 'path of the socket, or unix:// and it', socketPath)
    .option('--json', 'print JSON', false)
    .action(({ socket, json }: { socket: string; json: boolean }) =>
      short(check({ socketPath: socket, json }, io)),
    )
}
