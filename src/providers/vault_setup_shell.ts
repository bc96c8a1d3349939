/** Lines of shell for the `vault` and `bao` clients, with everything quoted. @module */

import type { Body } from './vault_setup_admin.ts'

const MAX_LINE = 90
const CONTINUED = ' \\\n  '

/** One word of shell, whatever is in it. */
export function word(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

/** Broken into several lines where it is long. */
export function commandLine(words: readonly string[]): string {
  const quoted = words.map(word)
  const line = quoted.join(' ')
  if (line.length <= MAX_LINE) return line
  const lines: string[] = []
  for (const next of quoted) {
    const last = lines.at(-1)
    if (last !== undefined && `${last} ${next}`.length <= MAX_LINE - 10) {
      lines[lines.length - 1] = `${last} ${next}`
    } else {
      lines.push(next)
    }
  }
  return lines.join(CONTINUED)
}

export function writeCommand(cli: string, path: string, body: Body): string {
  const values = Object.entries(body).map(([name, value]) => `${name}=${String(value)}`)
  return commandLine([cli, 'write', path, ...values])
}

/** Runs the second command where the first finds nothing. */
export function unlessThere(look: readonly string[], make: readonly string[]): string {
  return `${commandLine(look)} > /dev/null 2>&1 ||${CONTINUED}${commandLine(make)}`
}

/** Runs the second command where the first finds something. */
export function whereThere(look: readonly string[], make: string): string {
  return `! ${commandLine(look)} > /dev/null 2>&1 ||${CONTINUED}${make}`
}

/** What a command prints becomes a file of the operator's alone, once; a failed command leaves none. */
export function intoFile(command: string, file: string): string {
  const [name, draft] = [word(file), word(`${file}.new`)]
  // In a shell of its own, whose failure ends the script, and whose umask stays its own.
  return `if [ ! -e ${name} ]; then (\n  umask 077 &&\n  ${command} > ${draft} &&\n  mv ${draft} ${name}\n) fi`
}

/** Where a file of this folder belongs. */
export function onNodes(file: string, path: string): string {
  return comment(`On each node: install -m 0600 ${word(file)} ${word(path)}`)
}

/** One line, whatever is in it: what followed a line break would be run. */
export function comment(text: string): string {
  return `# ${text.replaceAll(/\p{Cc}/gu, '?')}`
}
