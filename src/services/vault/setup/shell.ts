/** Lines of shell for the clients `vault` and `bao`. @module */

import { CONTINUED, commandLine, comment, word } from '../../../base/shell.ts'
import type { Body } from './admin.ts'

/** The beginning of each client's environment variables. */
export const PREFIX = { vault: 'VAULT', bao: 'BAO' } as const

export function writeCommand(cli: string, path: string, body: Body): string {
  const values = Object.entries(body).map(([name, value]) => `${name}=${String(value)}`)
  return commandLine([cli, 'write', path, ...values])
}

/** Runs the second command where the first one finds nothing. */
export function unlessThere(look: readonly string[], make: readonly string[]): string {
  return `${commandLine(look)} > /dev/null 2>&1 ||${CONTINUED}${commandLine(make)}`
}

/** Runs the second command where the first one finds something. */
export function whereThere(look: readonly string[], make: string): string {
  return `! ${commandLine(look)} > /dev/null 2>&1 ||${CONTINUED}${make}`
}

/**
 * Shell functions that guard what another cluster may need from being replaced. What cannot be read
 * is not taken for absent.
 */
export function guardFunctions(cli: string): string {
  return [
    'stop() { printf \'Nothing was changed: %s\\n\' "$1" >&2; exit 1; }',
    'there() {',
    '  found=$("$@" 2> /dev/null) && return',
    '  why=$("$@" 2>&1) || :',
    "  case $why in *'No value found at '* | *'No policy named'* | *'Code: 404.'*) return 1 ;; esac",
    '  stop "$why"',
    '}',
    '# holds PATH FIELD VALUE...: one of these values, alone.',
    'holds() {',
    '  path=$1 field=$2; shift 2',
    `  found=$(${cli} read -field="$field" "$path" 2> /dev/null) || found=`,
    '  for wanted; do case $found in "$wanted" | "[$wanted]") return ;; esac; done',
    '  stop "$path is there, with another $field. Of another cluster? Name another role, or change it by hand"',
    '}',
    "words() { sed -e '/^[[:space:]]*#/d' -e '/^[[:space:]]*\\/\\//d' | tr -d '[:space:]'; }",
    'same() { [ "$(printf \'%s\\n\' "$found" | words)" = "$(policy | words)" ]; }',
  ].join('\n')
}

/** Ends the script where the role exists and one of its fields has none of the values. */
export function guardRole(
  cli: string,
  path: string,
  fields: Readonly<Record<string, readonly string[]>>,
): string {
  const lines = Object.entries(fields).map(([field, values]) =>
    ['  holds', ...[path, field, ...values].map(word)].join(' '),
  )
  return [`if there ${cli} read ${word(path)}; then`, ...lines, 'fi'].join('\n')
}

/** Ends the script where a file exists in this folder and the condition does not hold. */
export function guardFile(file: string, condition: string, problem: string): string {
  const why = `file ${file} in this folder ${problem}. Of another cluster? Move it away`
  return `if [ -e ${word(file)} ] && ! { ${condition}; }; then\n  stop ${word(why)}\nfi`
}

/**
 * Writes what a command prints into a file that only the operator can read, once; a failed command
 * leaves no file.
 */
export function intoFile(command: string, file: string): string {
  const [name, draft] = [word(file), word(`${file}.new`)]
  // Runs in a subshell whose failure ends the script and whose umask does not affect the rest.
  return `if [ ! -e ${name} ]; then (\n  umask 077 &&\n  ${command} > ${draft} &&\n  mv ${draft} ${name}\n) fi`
}

/** Says where a file of this folder belongs on the nodes. */
export function onNodes(file: string, path: string): string {
  return comment(`On each node: install -m 0600 ${word(file)} ${word(path)}`)
}
