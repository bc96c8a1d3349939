/** The options of `trousseau serve`. @module */

import type { Command } from 'commander'
import type { Io } from '../console/io.ts'
import { serve } from '../plugin/serve.ts'
import { CONFIG_FILE, type Ending } from './command.ts'

export function addServe(program: Command, io: Io, { done }: Ending): void {
  program
    .command('serve')
    .description('run the plugin until SIGTERM or SIGINT')
    .requiredOption('--config <file>', CONFIG_FILE)
    .option(
      '--take-over',
      'take over the socket of a running plugin as soon as this one can answer; then stop the other',
      false,
    )
    .action(async ({ config, takeOver }: { config: string; takeOver: boolean }) =>
      done(await serve({ config: { path: config }, takeOver }, io)),
    )
}
