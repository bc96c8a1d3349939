/**
 * The program: one command line in, one exit code out. Nothing here ends the process
 * or reads its environment.
 *
 * @module
 */

import { Command, CommanderError } from 'commander'
import { addCommands } from './commands.ts'
import type { Io } from './io.ts'
import { EXIT, reportError } from './output.ts'
import { serve } from './serve.ts'

const HELP_WIDTH = 100

const EXIT_CODES = `
Exit codes:
  0    done
  1    failed
  2    wrong usage, or a config that cannot be used
  3    the plugin that was asked is not healthy or breaks a rule, or doctor, scan,
       migrate or recover found something
  130  stopped by a signal before it was done`

/** Runs one command line (without the program's name) and returns the exit code. */
export async function runProgram(argv: readonly string[], io: Io): Promise<number> {
  let code: number = EXIT.ok
  const done = (result: number) => {
    code = result
  }
  const program = createProgram(io)
  addServe(program, io, done)
  addCommands(program, io, done)
  try {
    await program.parseAsync(argv, { from: 'user' })
    return code
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
    return reportError(error, io)
  }
}

function createProgram(io: Io): Command {
  return new Command('trousseau')
    .description(
      'Kubernetes KMS provider plugin for Vault, OpenBao, AWS, Azure, Google Cloud and local keys',
    )
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.out(text),
      writeErr: (text) => io.err(text),
      getOutHelpWidth: () => HELP_WIDTH,
      getErrHelpWidth: () => HELP_WIDTH,
      getOutHasColors: () => io.color,
      getErrHasColors: () => false,
      outputError: (text, write) => write(`trousseau: ${sentence(text)}\n`),
    })
    .showHelpAfterError('hint: "trousseau help" lists commands, "trousseau help COMMAND" options')
    .addHelpText('after', EXIT_CODES)
}

function addServe(program: Command, io: Io, done: (code: number) => void): void {
  program
    .command('serve')
    .description('run the plugin until SIGTERM or SIGINT')
    .requiredOption('--config <file>', 'YAML or JSON config file')
    .option(
      '--take-over',
      'take the socket of a plugin that runs as soon as this one can answer; stop that one then',
      false,
    )
    .action(async ({ config, takeOver }: { config: string; takeOver: boolean }) =>
      done(await serve({ configPath: config, takeOver }, io)),
    )
}

/** Commander's errors in the form of ours. */
function sentence(text: string): string {
  const plain = text
    .trim()
    .replace(/^error: /, '')
    .replaceAll('\n', ' ')
  return plain.charAt(0).toUpperCase() + plain.slice(1)
}
