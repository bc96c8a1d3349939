/** The man page, made from the commands themselves, as their help is. @module */

import type { Command } from 'commander'
import {
  allCommands,
  argumentDescription,
  examplesOf,
  optionDescription,
  usageOf,
} from '../src/cli/help.ts'
import { createProgram, EXIT_CODES } from '../src/cli/program.ts'
import type { Io } from '../src/console/io.ts'

export function manPage(): string {
  // No command is run, so nothing is printed.
  const program = createProgram({} as Io, () => undefined)
  const shown = program.createHelp().visibleCommands(program)
  const groups = Map.groupBy(shown, (command) => command.helpGroup())
  const codes = [...EXIT_CODES.matchAll(/^ {2}(\d+) +(.+)$/gm)]
  const lines = [
    '.\\" Made by "npm run generate" of the commands themselves.',
    '.TH TROUSSEAU 1 "" "Trousseau" "Trousseau"',
    '.SH NAME',
    `trousseau \\- ${text(program.description())}`,
    '.SH SYNOPSIS',
    `\\fBtrousseau\\fR \\fI<command>\\fR ...`,
    ...optionLines(program),
    ...[...groups].flatMap(([group, commands]) => [
      `.SH ${group.replace(/:$/, '').toUpperCase()}`,
      ...commands.flatMap(allCommands).filter(isLeaf).flatMap(section),
    ]),
    '.SH EXIT STATUS',
    ...codes.flatMap(([, code = '', about = '']) => item(`\\fB${code}\\fR`, about)),
    '.SH SEE ALSO',
    'The folder docs of the sources and of the bundle, with cli.md, configuration.md and the runbooks first.',
  ]
  return `${lines.join('\n')}\n`
}

function isLeaf({ commands }: Command): boolean {
  return commands.length === 0
}

function section(command: Command): string[] {
  const examples = examplesOf(command)
  return [
    `.SS ${text(usageOf(command))}`,
    text(sentence(command.description())),
    ...command.registeredArguments.flatMap((argument) =>
      item(`\\fI${text(argument.name())}\\fR`, argumentDescription(argument)),
    ),
    ...optionLines(command),
    ...(examples.length === 0
      ? []
      : ['.PP', 'Examples:', '.PP', '.nf', ...examples.map((line) => `    ${text(line)}`), '.fi']),
  ]
}

function optionLines(command: Command): string[] {
  const options = command.createHelp().visibleOptions(command)
  // The option for help is described once on the page.
  const own = options.filter(({ long }) => command.parent === null || long !== '--help')
  return own.flatMap((option) => item(`\\fB${text(option.flags)}\\fR`, optionDescription(option)))
}

function item(term: string, about: string): string[] {
  return [
    '.TP',
    term,
    ...about.split('\n').flatMap((line, at) => (at === 0 ? [] : ['.br']).concat(text(line))),
  ]
}

function sentence(words: string): string {
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}.`
}

/**
 * Escapes hyphens, so that they can be copied, and keeps a line of text from being read as a
 * request of roff.
 */
function text(line: string): string {
  return line
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^(?=[.'])/, '\\&')
}
