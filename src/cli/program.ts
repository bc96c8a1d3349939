/**
 * The program takes one command line and returns one exit code. Nothing here ends the process or
 * reads its environment.
 *
 * @module
 */

import { Command, CommanderError } from 'commander'
import type { Io } from '../console/io.ts'
import { EXIT, type Failure, failureOf, reportError } from '../console/output.ts'
import { serveIfPluginCall } from '../plugin/serve.ts'
import { versionLine } from '../plugin/version.ts'
import { addCommands } from './commands.ts'
import { explainCommands, hung, type OnUsage } from './help.ts'
import { type OneDocument, oneDocument } from './one_document.ts'

/** Longer lines are hard to read; this is also the width where there is no terminal. */
const MAX_HELP_WIDTH = 100
const PLAIN_WIDTH = 80
const CODE_WIDTH = 7

export const EXIT_CODES = `
Exit codes:
  0    done
  1    failed
  2    wrong usage, or a config that cannot be used
  3    the plugin that was asked is not healthy or breaks a rule, or doctor, scan, migrate or recover found something
  130  stopped by a signal before it was done`
const PLUGIN_CALL = `
As a plugin of OpenShift:
  With arguments such as -vault-address=… and no command, it serves: docs/openshift.md
`

/** Runs one command line (without the program's name) and returns the exit code. */
export async function runProgram(argv: readonly string[], outer: Io): Promise<number> {
  // Not by the option as it was parsed: a wrong command line is answered too.
  const { io, fail }: OneDocument = argv.includes('--json')
    ? oneDocument(outer)
    : { io: outer, fail: () => undefined }
  let code: number = EXIT.ok
  const done = (result: number) => {
    code = result
  }
  let usage: Failure | undefined
  const onUsage: OnUsage = (message, hint) => {
    usage = { code: 'usage', message, hint }
  }
  const program = createProgram(io, done, { onUsage, called: argv[0] })
  try {
    // No command has a name that begins with a dash.
    const served =
      argv[0]?.startsWith('-') === false ? undefined : await serveIfPluginCall(argv, io)
    if (served !== undefined) return served
    await program.parseAsync(argv, { from: 'user' })
    if (code === EXIT.interrupted) {
      fail({ code: 'interrupted', message: 'Stopped by a signal before it was done' })
    }
    return code
  } catch (error) {
    if (!(error instanceof CommanderError)) {
      fail(failureOf(error))
      return reportError(error, io)
    }
    if (error.exitCode === 0) return EXIT.ok
    fail(usage ?? { code: 'usage', message: error.message })
    return EXIT.usage
  }
}

interface ProgramOptions {
  readonly onUsage?: OnUsage
  /** The first word of the command line. Where it is given, other commands may be missing. */
  readonly called?: string | undefined
}

/**
 * Creates the program with all commands.
 *
 * @param done is called with the exit code
 */
export function createProgram(
  io: Io,
  done: (code: number) => void,
  { onUsage = () => undefined, called }: ProgramOptions = {},
): Command {
  const width = Math.min(io.columns ?? PLAIN_WIDTH, MAX_HELP_WIDTH)
  const program = new Command('trousseau')
    .description(
      'Kubernetes KMS provider plugin for Vault, OpenBao, AWS, Azure, Google Cloud and local keys',
    )
    .version(versionLine(), '-V, --version', 'print the version, as the command does')
    .helpOption('-h, --help', 'explain a command')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.out(text),
      writeErr: (text) => io.err(text),
      getOutHelpWidth: () => width,
      getErrHelpWidth: () => width,
      getOutHasColors: () => io.color,
      getErrHasColors: () => false,
    })
    .addHelpText('after', ({ command }) => {
      const call = command.parent === null ? PLUGIN_CALL : ''
      const lines = `${call}${EXIT_CODES}`.split('\n')
      return lines
        .map((line) => hung(command.createHelp().boxWrap(line, width - CODE_WIDTH), CODE_WIDTH))
        .join('\n')
    })
  addCommands(program, io, done, called)
  explainCommands(program, width, onUsage)
  return program
}
