/** The options of `trousseau demo`. @module */

import type { Command } from 'commander'
import type { Io } from '../console/io.ts'
import { demo } from '../tools/demo.ts'
import type { Ending } from './command.ts'

export function addDemo(program: Command, io: Io, { done }: Ending): void {
  program
    .command('demo')
    .description('show the plugin at work with a local key, and keep serving')
    .option(
      '--dir <folder>',
      'keep key and socket here (default: a folder that is removed with the demo)',
    )
    .action(async (options: { dir?: string }) => done(await demo(options, io)))
}
