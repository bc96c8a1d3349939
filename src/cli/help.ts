/**
 * The texts of help: the first line has what must be given, defaults have units, examples follow,
 * and a misspelt word gets a suggestion.
 *
 * @module
 */

import { type Argument, Command, CommanderError, type Help, type Option } from 'commander'
import { durationText } from '../base/duration.ts'
import { EXAMPLES } from './examples.ts'

/** With fewer columns than this beside the terms, descriptions go below them. */
const LEAST_WIDTH = 36
const BELOW = 6
const USAGE = 'Usage: '

/** Our own form of lists, first lines and descriptions; everything else is commander's. */
const STYLE: Partial<Help> = {
  minWidthToWrap: 1,
  commandUsage: usageOf,
  subcommandTerm: (command) => command.name(),
  optionDescription,
  argumentDescription,
  styleUsage(text) {
    return hung(this.boxWrap?.(text, (this.helpWidth ?? 80) - USAGE.length) ?? text, USAGE.length)
  },
  formatItem(term, termWidth, description, helper) {
    const width = helper.helpWidth ?? 80
    const beside = termWidth + 4
    const below = width - beside < LEAST_WIDTH
    const indent = below ? BELOW : beside
    const start = below ? `  ${term}\n${' '.repeat(BELOW)}` : `  ${term.padEnd(termWidth)}  `
    const lines = description.split('\n')
    const more = lines.length > 1 ? 2 : 0
    const wrapped = lines.map((line) => hung(helper.boxWrap(line, width - indent - more), more))
    return start + hung(wrapped.join('\n'), indent)
  },
}

/** Indents the further lines to where the first one begins. */
export function hung(text: string, indent: number): string {
  return text.replaceAll('\n', `\n${' '.repeat(indent)}`)
}

/** Called for a wrong command line, with the message and a hint. */
export type OnUsage = (message: string, hint: string) => void

/**
 * Sets up help for the whole tree of commands, once all are added.
 *
 * @param width of the terminal
 */
export function explainCommands(root: Command, width: number, onUsage: OnUsage): void {
  for (const command of [root, ...root.commands]) {
    if (command.commands.length > 0) addHelpCommand(command, command !== root)
  }
  explain(root, width, onUsage)
}

/** Runs at every start, so it only registers how help is made. */
function explain(command: Command, width: number, onUsage: OnUsage): void {
  command
    .configureHelp(STYLE)
    .addHelpText('after', () => {
      const examples = examplesOf(command).map((line) => `\n  ${brokenAt(width, line)}`)
      return examples.length === 0 ? '' : `\nExamples:${examples.join('')}`
    })
    .showHelpAfterError(`hint: ${hintOf(command)}`)
    .configureOutput({
      outputError(text, write) {
        const message = sentence(guessed(command, text))
        onUsage(message, hintOf(command))
        write(`trousseau: ${message}\n`)
      },
    })
  for (const inner of command.commands) explain(inner, width, onUsage)
}

/** The command and all commands below it. */
export function allCommands(command: Command): Command[] {
  return [command, ...command.createHelp().visibleCommands(command).flatMap(allCommands)]
}

/** Complete command lines. */
export function examplesOf(command: Command): readonly string[] {
  const path = pathOf(command)
  const known: Readonly<Record<string, readonly string[]>> = EXAMPLES
  const own = path.split(' ').slice(1).join(' ')
  return (known[own] ?? []).map((rest) => `${path} ${rest}`.trimEnd())
}

/** `trousseau config validate` */
export function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`
}

/** The command with all arguments and options that are required. */
export function usageOf(command: Command): string {
  const must = command.options.filter(({ mandatory }) => mandatory).map(({ flags }) => flags)
  return [
    pathOf(command),
    ...command.registeredArguments.map((argument) => {
      const name = `${argument.name()}${argument.variadic ? '...' : ''}`
      return argument.required ? `<${name}>` : `[${name}]`
    }),
    ...must,
    ...(command.options.length > must.length ? ['[options]'] : []),
    ...(command.commands.length > 0 ? ['<command>'] : []),
  ].join(' ')
}

export function optionDescription(option: Option): string {
  const standard = defaultOf(option)
  return withNotes(option.description, [
    ...(option.mandatory ? ['required'] : []),
    ...choicesOf(option),
    ...(standard === undefined ? [] : [`default: ${standard}`]),
  ])
}

/** A description of several lines explains the choices itself. */
export function argumentDescription(argument: Argument): string {
  const { description } = argument
  return withNotes(description, description.includes('\n') ? [] : choicesOf(argument))
}

function withNotes(description: string, notes: readonly string[]): string {
  return notes.length === 0 ? description : `${description} (${notes.join('; ')})`
}

function choicesOf({ argChoices }: Option | Argument): string[] {
  return argChoices === undefined ? [] : [`one of ${argChoices.join(', ')}`]
}

/** Undefined where there is no default worth saying, such as that of a switch that is off. */
function defaultOf(option: Option): string | undefined {
  const value: unknown = option.defaultValue
  if (option.defaultValueDescription !== undefined) return option.defaultValueDescription
  if (!option.required) return undefined
  if (typeof value === 'number' && option.flags.endsWith('<duration>')) return durationText(value)
  if (Array.isArray(value)) return value.join(',')
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined
}

/** A long example continues on the next line, in a form that a shell accepts. */
function brokenAt(width: number, line: string): string {
  const [start = '', ...options] = line.split(/ (?=--|> )/)
  let text = start
  let used = start.length
  for (const option of options) {
    const fits = used + option.length + 5 <= width
    text += fits ? ` ${option}` : ` \\\n      ${option}`
    used = fits ? used + option.length + 1 : option.length + 6
  }
  return text
}

/**
 * Commander's own help command knows only one level, and shows the wrong page for an unknown
 * command.
 */
function addHelpCommand(parent: Command, hidden: boolean): void {
  parent.helpCommand(false)
  parent
    .command('help', { hidden })
    .description('explain a command')
    .argument('[command...]', 'the command')
    .action((words: readonly string[]) => showHelp(parent, words))
}

/** Shows help and ends the command. */
function showHelp(at: Command, [word, ...rest]: readonly string[]): void {
  if (word === undefined) at.help()
  const inner = at.commands.find((command) => command.name() === word)
  if (inner !== undefined) showHelp(inner, rest)
  if (at.commands.length === 0) at.error(`'${at.name()}' has no command '${word}'`)
  // Ends with what is said of any command that is not there.
  at.parse([word], { from: 'user' })
}

function hintOf(command: Command): string {
  const page = ['trousseau help', ...pathOf(command).split(' ').slice(1)].join(' ')
  const what = command.commands.length > 0 ? 'lists commands' : 'shows how it is called'
  return `"${page}" ${what}`
}

/** Replaces commander's message where the real mistake is known to be another one. */
function guessed(command: Command, text: string): string {
  const stray = command.args.find((word) => word.length > 2 && word.startsWith('--'))
  if (stray !== undefined && text.includes('required option')) return unknownOption(command, stray)
  const [, word] = /unknown command '(.*?)'/.exec(text) ?? []
  const inner = allCommands(command).find((each) => each !== command && each.name() === word)
  return inner === undefined ? text : `unknown command '${word}' (Did you mean "${pathOf(inner)}"?)`
}

/**
 * Commander first complains about a missing option, which hides that the option is there but
 * misspelt.
 */
function unknownOption(command: Command, word: string): string {
  const probe = new Command().exitOverride().configureOutput({ outputError: () => undefined })
  for (const { flags } of command.options) probe.option(flags)
  try {
    probe.parse([word.replace(/=.*$/s, '')], { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) return error.message
    throw error
  }
  return `unknown option '${word}'`
}

/** Puts commander's errors into the form of our own. */
function sentence(text: string): string {
  const plain = text
    .trim()
    .replace(/^error: /, '')
    .replaceAll('\n', ' ')
  return plain.charAt(0).toUpperCase() + plain.slice(1)
}
