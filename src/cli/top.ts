/** The options of `trousseau top`. @module */

import type { Command } from 'commander'
import type { Io } from '../console/io.ts'
import { top } from '../tools/top/run.ts'
import { CONFIG_FILE, type Ending } from './command.ts'
import { durationFlag, milliseconds } from './flags.ts'

interface TopFlags {
  readonly config: string
  readonly timeout: number
  /** Milliseconds. */
  readonly every: number
  readonly once: boolean
}

export function addTop(program: Command, io: Io, { done }: Ending): void {
  program
    .command('top')
    .description(
      'show all that the plugin says of itself, live: endpoints, providers, rates, failures',
    )
    .requiredOption('--config <file>', CONFIG_FILE)
    .option('--timeout <duration>', 'time limit of each question', milliseconds, 3_000)
    .option('--every <duration>', 'how often it asks', durationFlag(200, 3_600_000), 2_000)
    .option('--once', 'print once and end, as it does in a pipe', false)
    .action(async ({ config, timeout: timeoutMs, every: everyMs, once }: TopFlags) => {
      done(await top({ configPath: config, timeoutMs, everyMs, once }, io))
    })
}
