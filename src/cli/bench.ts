/** The options of `trousseau bench`. @module */

import { type Command, Option } from 'commander'
import type { Io } from '../console/io.ts'
import { type BenchOptions, bench } from '../tools/load/bench.ts'
import { APIS } from '../tools/load/phases.ts'
import type { Ending } from './command.ts'
import { durationFlag, socketPath, wholeNumber } from './flags.ts'

/** Calls `done` itself, since a bench that is stopped early still reports what it measured. */
export function addBench(program: Command, io: Io, { done }: Ending): void {
  program
    .command('bench')
    .description("measure how fast any plugin's socket is; it encrypts and decrypts")
    .requiredOption('--socket <path>', 'path of the socket, or unix:// and it', socketPath)
    .option('--duration <duration>', 'of each of six phases', durationFlag(100, 600_000), 10_000)
    .option('--concurrency <n>', 'calls at once', wholeNumber(1, 256), 16)
    .option('--rate <n>', 'calls a second at most (default: no limit)', wholeNumber(1, 100_000))
    .addOption(new Option('--api <version>', 'of the protocol').choices(APIS).default('v2'))
    .option('--json', 'print JSON', false)
    .action(async (options: BenchOptions) => done(await bench(options, io)))
}
