/** `trousseau version` and `trousseau completion`. @module */

import { Argument, type Command } from 'commander'
import type { Io } from '../console/io.ts'
import { EXIT, json } from '../console/output.ts'
import { RUNTIME, VERSION, versionLine } from '../plugin/version.ts'
import type { Ending } from './command.ts'
import { completionScript, SHELLS, type Shell } from './completion.ts'

export function addAbout(program: Command, io: Io, { short }: Ending): void {
  const version = (asJson: boolean) => {
    io.out(asJson ? json({ version: VERSION, runtime: RUNTIME }) : `${versionLine()}\n`)
    return EXIT.ok
  }
  program
    .command('version')
    .description('print the version of this program and of its runtime')
    .option('--json', 'print JSON', false)
    .action((options: { json: boolean }) => short(version(options.json)))
  program
    .command('completion')
    .description('print a completion script; the docs say where to put it')
    .addArgument(new Argument('<shell>', 'which shell').choices(SHELLS))
    .action((shell: Shell) => {
      io.out(completionScript(program, shell))
      return short(EXIT.ok)
    })
}
