/** The options of `trousseau explain`. @module */

import type { Command } from 'commander'
import type { Io } from '../console/io.ts'
import { explain } from '../tools/explain/run.ts'
import type { Ending } from './command.ts'

export function addExplain(program: Command, io: Io, { short }: Ending): void {
  program
    .command('explain')
    .description('say what an error code or an event of the log means, and what to do')
    .argument('[word]', 'code or event; without one, all are listed')
    .option('--json', 'print JSON', false)
    .action((word: string | undefined, { json }: { json: boolean }) =>
      short(explain(word, json, io)),
    )
}
