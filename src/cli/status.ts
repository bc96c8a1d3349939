/** The options of `trousseau status`. @module */

import { type Command, Option } from 'commander'
import type { Io } from '../console/io.ts'
import { status, statusOfConfig } from '../tools/status/run.ts'
import { watchStatus } from '../tools/status/watch.ts'
import type { Ending } from './command.ts'
import { durationFlag, milliseconds, socketPath } from './flags.ts'

interface StatusFlags {
  readonly socket?: string
  readonly config?: string
  readonly timeout: number
  /** Milliseconds. */
  readonly watch?: number
  readonly json: boolean
  readonly live: boolean
}

export function addStatus(program: Command, io: Io, { short, done }: Ending): void {
  program
    .command('status')
    .description("ask any plugin's socket as kube-apiserver does, and this one about its providers")
    .option('--socket <path>', 'path of the socket, or unix:// and it', socketPath)
    .option('--config <file>', 'config file: all its sockets, and its admin server')
    .option('--timeout <duration>', 'time limit of each call', milliseconds, 3_000)
    .addOption(
      new Option('--watch [duration]', 'ask every 2s, or as often as given, until stopped')
        .argParser(durationFlag(100, 3_600_000))
        .preset('2s')
        .conflicts('json'),
    )
    .addOption(
      new Option(
        '--live',
        'exit code 0 as soon as --socket answers at all, as a liveness probe wants it',
      )
        .default(false)
        .conflicts('watch'),
    )
    .option('--json', 'print JSON', false)
    .action(async (flags: StatusFlags, command: Command) => {
      const { socket, config, timeout: timeoutMs, watch: everyMs, json, live } = flags
      if ((socket === undefined) === (config === undefined)) {
        command.error('Option --socket or --config is needed, and not both')
      }
      if (live && socket === undefined) {
        command.error('Option --live needs --socket')
      }
      if (everyMs !== undefined) {
        const watched = { socketPath: socket, configPath: config, timeoutMs, everyMs }
        return done(await watchStatus(watched, io))
      }
      return await short(
        config === undefined
          ? status({ socketPath: socket ?? '', timeoutMs, json, live }, io)
          : statusOfConfig({ configPath: config, timeoutMs, json }, io),
      )
    })
}
