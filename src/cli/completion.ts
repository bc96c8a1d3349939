/**
 * Completion scripts for bash, zsh and fish, made from the commands themselves, so
 * that they cannot fall behind.
 *
 * @module
 */

import type { Command } from 'commander'

export const SHELLS = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof SHELLS)[number]

interface Place {
  /** Names of the commands from the program to here. */
  readonly path: readonly string[]
  readonly words: readonly Word[]
  /** Whether a file name may follow. */
  readonly files: boolean
}

interface Word {
  readonly text: string
  readonly description: string
}

const MAKE: Readonly<Record<Shell, (name: string, places: readonly Place[]) => string>> = {
  bash,
  zsh,
  fish,
}

export function completionScript(program: Command, shell: Shell): string {
  return MAKE[shell](program.name(), placesOf(program, []))
}

/** Inner commands first, since a shell takes the first pattern that fits. */
function placesOf(command: Command, path: readonly string[]): Place[] {
  const inner = command.commands
  const commands = inner.map((each) => ({
    text: each.name(),
    description: each.description(),
  }))
  const choices = command.registeredArguments.flatMap(({ argChoices = [] }) =>
    argChoices.map((text) => ({ text, description: '' })),
  )
  const options = command.options.map(({ long, description }) => ({
    text: long ?? '',
    description,
  }))
  const takesValue = command.options.some(({ required }) => required)
  const files = takesValue || (command.registeredArguments.length > 0 && choices.length === 0)
  const here = { path, words: [...commands, ...choices, ...options], files }
  const below = inner.flatMap((each) => placesOf(each, [...path, each.name()]))
  return path.length === 0 ? [...below, helpPlace(commands), withHelp(here)] : [...below, here]
}

/** Commander adds the command `help` by itself. */
function helpPlace(commands: readonly Word[]): Place {
  return { path: ['help'], words: commands, files: false }
}

function withHelp(root: Place): Place {
  return { ...root, words: [...root.words, { text: 'help', description: 'explain a command' }] }
}

function bash(name: string, places: readonly Place[]): string {
  const cases = places.map(({ path, words, files }) => {
    const list = words.map(({ text }) => text).join(' ')
    const file = files ? ' $(compgen -f -- "$current")' : ''
    return `    ${pattern(path)}) COMPREPLY=($(compgen -W "${list}" -- "$current")${file}) ;;`
  })
  return `# bash completion of ${name}
_${name}() {
  local current=\${COMP_WORDS[COMP_CWORD]} given="" word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word == -* ]] || given+=" $word"
  done
  case "$given " in
${cases.join('\n')}
  esac
}
complete -o filenames -F _${name} ${name}
`
}

function zsh(name: string, places: readonly Place[]): string {
  const cases = places.map(({ path, words, files }) => {
    const list = words.map(({ text }) => text).join(' ')
    const commands = [...(list === '' ? [] : [`compadd -- ${list}`]), ...(files ? ['_files'] : [])]
    return `    ${pattern(path)}) ${commands.join('; ')} ;;`
  })
  return `#compdef ${name}
_${name}() {
  local given="" word
  for word in "\${(@)words[2,CURRENT-1]}"; do
    [[ $word == -* ]] || given+=" $word"
  done
  case "$given " in
${cases.join('\n')}
  esac
}
compdef _${name} ${name}
`
}

function fish(name: string, places: readonly Place[]): string {
  const lines = places.flatMap(({ path, words, files }) => {
    const seen = path.map((word) => `__fish_seen_subcommand_from ${word}`).join('; and ')
    const where = `complete -c ${name} -n '${seen === '' ? '__fish_use_subcommand' : seen}'`
    return [
      ...words.map(({ text, description }) => `${where} ${fishWord(text, description)}`),
      ...(files ? [`${where} -F`] : []),
    ]
  })
  return `# fish completion of ${name}\ncomplete -c ${name} -f\n${lines.join('\n')}\n`
}

function fishWord(text: string, description: string): string {
  const word = text.startsWith('--') ? `-l ${text.slice(2)}` : `-a ${text}`
  return `${word} -d '${description.replaceAll(/['\\]/g, '\\$&')}'`
}

/** Fits every command line that goes through this command. */
function pattern(path: readonly string[]): string {
  return path.length === 0 ? '*' : `" ${path.join(' ')} "*`
}
