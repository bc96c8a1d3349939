/**
 * Completion scripts for bash, zsh and fish, made from the commands themselves, so that they never
 * lack an option.
 *
 * @module
 */

import type { Argument, Command, Option } from 'commander'

export const SHELLS = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof SHELLS)[number]

/** What is offered as a value: these words, names of files, or nothing where it cannot be known. */
type Offer = readonly string[] | 'files' | 'configs' | 'folders' | 'sockets' | 'none'

interface Place {
  /** Names of the commands that lead from the program to this place. */
  readonly path: readonly string[]
  readonly words: readonly Word[]
  /** What is offered here besides the words. */
  readonly argument: Offer
  /** Options that take a value. */
  readonly values: readonly { readonly option: string; readonly offer: Offer }[]
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
  const places = placesOf(program, [])
  return MAKE[shell](program.name(), [...helpPlaces(places), ...places])
}

/** Inner commands come first, since a shell takes the first pattern that matches. */
function placesOf(command: Command, path: readonly string[]): Place[] {
  const help = command.createHelp()
  const inner = help.visibleCommands(command)
  const options = help.visibleOptions(command).filter(({ long }) => long !== '--help')
  const argument =
    command.registeredArguments.map((each) => offerOf(each, each.name()))[0] ?? 'none'
  return [
    ...inner.flatMap((each) => placesOf(each, [...path, each.name()])),
    {
      path,
      words: [
        ...inner.map((each) => ({ text: each.name(), description: each.description() })),
        ...options.map(({ long, description }) => ({ text: long ?? '', description })),
      ],
      argument,
      values: options
        .filter(({ required }) => required)
        .map((option) => ({ option: option.long ?? '', offer: offerOf(option, option.flags) })),
    },
  ]
}

/** After `help`, the commands are offered without their options. */
function helpPlaces(places: readonly Place[]): Place[] {
  return places
    .filter(({ path, words }) => path[0] !== 'help' && words.some(isCommand))
    .map(({ path, words }) => ({
      path: ['help', ...path],
      words: words.filter(isCommand),
      argument: 'none',
      values: [],
    }))
}

function isCommand({ text }: Word): boolean {
  return !text.startsWith('-') && text !== 'help'
}

/** Decides by the word with which help describes the value. */
function offerOf({ argChoices, description }: Option | Argument, text: string): Offer {
  if (argChoices !== undefined) return argChoices
  if (text.startsWith('--socket ')) return 'sockets'
  if (/folder>?$/.test(text)) return 'folders'
  if (/^--(?:[a-z]+-)*(?:config|manifest) |YAML/.test(`${text} ${description}`)) return 'configs'
  return /file>?$|^path$/.test(text) ? 'files' : 'none'
}

const BASH_OFFERS = {
  files: 'compgen -f -- "$current"',
  configs:
    'compgen -d -- "$current"; compgen -f -X "!*.json" -- "$current"; compgen -f -X "!*.y*ml" -- "$current"',
  folders: 'compgen -d -- "$current"',
  sockets: `compgen -d -- "$current"; compgen -f -- "$current" | while read -r file; do [[ -S $file ]] && echo "$file"; done`,
  none: '',
} as const

function bash(name: string, places: readonly Place[]): string {
  const reply = (...offers: readonly Offer[]) =>
    `COMPREPLY=($(${offers.map((offer) => (typeof offer === 'string' ? BASH_OFFERS[offer] : `compgen -W "${offer.join(' ')}" -- "$current"`)).join('; ')}))`
  return script(places, {
    head: `# bash completion of ${name}
_${name}() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} given="" word
  [[ $current == = ]] && current=""
  [[ $previous == = ]] && previous=\${COMP_WORDS[COMP_CWORD-2]}
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word == -* ]] || given+=" $word"
  done
`,
    reply: (words, argument) => reply(words, argument),
    value: (offer) => (offer === 'none' ? 'COMPREPLY=()' : reply(offer)),
    foot: `complete -o filenames -F _${name} ${name}\n`,
  })
}

const ZSH_OFFERS = {
  files: '_files',
  configs: "_files -g '*.(yaml|yml|json)'",
  folders: '_files -/',
  sockets: "_files -g '*(=)'",
  none: ':',
} as const

function zsh(name: string, places: readonly Place[]): string {
  const offered = (offer: Offer) =>
    typeof offer === 'string' ? ZSH_OFFERS[offer] : `compadd -- ${offer.join(' ')}`
  return script(places, {
    head: `#compdef ${name}
_${name}() {
  local given="" previous=\${words[CURRENT-1]} word
  for word in "\${(@)words[2,CURRENT-1]}"; do
    [[ $word == -* ]] || given+=" $word"
  done
`,
    reply: (words, argument) => `${offered(words)}; ${offered(argument)}`,
    value: offered,
    foot: `compdef _${name} ${name}\n`,
  })
}

interface Dialect {
  readonly head: string
  readonly foot: string
  reply(words: readonly string[], argument: Offer): string
  value(offer: Offer): string
}

/**
 * The part that bash and zsh share: it finds the place of the command, then looks at the previous
 * word.
 */
function script(places: readonly Place[], dialect: Dialect): string {
  const cases = places.map(({ path, words, argument, values }) => {
    const texts = words.map(({ text }) => text)
    const inner = values.map(({ option, offer }) => `      ${option}) ${dialect.value(offer)} ;;\n`)
    return `    ${pattern(path)}) case $previous in
${inner.join('')}      *) ${dialect.reply(texts, argument)} ;;
    esac ;;
`
  })
  return `${dialect.head}  case "$given " in
${cases.join('')}  esac
}
${dialect.foot}`
}

const FISH_OFFERS = {
  files: '-r -F',
  configs: "-x -a '(__fish_complete_suffix .yaml .yml .json)'",
  folders: "-x -a '(__fish_complete_directories)'",
  sockets: '-r -F',
  none: '-x',
} as const

function fish(name: string, places: readonly Place[]): string {
  const lines = places.flatMap(({ path, words, argument, values }) => {
    const seen = path.map((word) => `__fish_seen_subcommand_from ${word}`).join('; and ')
    const where = `complete -c ${name} -n '${seen === '' ? '__fish_use_subcommand' : seen}'`
    const offers = new Map(values.map(({ option, offer }) => [option, offer]))
    const choices = typeof argument === 'string' ? [] : argument
    return [
      ...words.map(({ text, description }) => {
        const offer = offers.get(text)
        const value = offer === undefined ? '' : ` ${fishOffer(offer)}`
        return `${where} ${text.startsWith('--') ? `-l ${text.slice(2)}${value}` : `-a ${text}`} -d '${description.replaceAll(/['\\]/g, '\\$&')}'`
      }),
      ...choices.map((text) => `${where} -a ${text}`),
      ...(argument === 'none' || choices.length > 0 ? [] : [`${where} ${fishOffer(argument)}`]),
    ]
  })
  return `# fish completion of ${name}\ncomplete -c ${name} -f\n${lines.join('\n')}\n`
}

function fishOffer(offer: Offer): string {
  return typeof offer === 'string' ? FISH_OFFERS[offer] : `-x -a '${offer.join(' ')}'`
}

/** Matches every command line that goes through this command. */
function pattern(path: readonly string[]): string {
  return path.length === 0 ? '*' : `" ${path.join(' ')} "*`
}
