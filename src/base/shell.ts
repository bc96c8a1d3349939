/** Lines of shell for an operator to run, with everything quoted. @module */

const MAX_LINE = 90
export const CONTINUED = ' \\\n  '

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

/** Makes one line of any text, since the shell would execute what follows a line break. */
export function comment(text: string): string {
  return `# ${text.replaceAll(/\p{Cc}/gu, '?')}`
}
