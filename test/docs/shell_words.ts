/** Finds the calls of the program in a block of shell, for the tests of the pages. @module */

/** What may stand before a command on its line. */
const BEFORE = new Set(['{', '!', 'if', 'until', 'while', 'do', 'then', 'else', 'exec', 'sudo'])
const ASSIGNMENT = /^[A-Za-z_]\w*=/
/** The program itself, as it is installed or as the bundle that Node runs. */
const PROGRAM = /^(?:.*\/)?trousseau(?:-linux-\w+|\.mjs)?$/
const TOKEN =
  /(?<comment>(?<=^|\s)#.*)|(?<redirect>\d?[<>]+&?\s*[^\s|;&()<>]*)|(?<end>[|;&()]+)|(?<word>(?:\\.|'[^']*'|"(?:\\.|[^"\\])*"|[^\s|;&()<>'"\\])+)/g

/** The words behind the program's name, for each call of it. */
export function commandsIn(shell: string): string[][] {
  const lines = shell.replaceAll(/\\\n\s*/g, ' ').split('\n')
  return lines.flatMap(commandsOf).flatMap((words) => {
    const at = words.findIndex((word) => !BEFORE.has(word) && !ASSIGNMENT.test(word))
    const [name = '', ...rest] = words.slice(Math.max(at, 0))
    if (name === 'node' && PROGRAM.test(rest[0] ?? '')) return [rest.slice(1)]
    return PROGRAM.test(name) ? [rest] : []
  })
}

/** The simple commands of a line, as words without quotes. */
function commandsOf(line: string): string[][] {
  const commands: string[][] = [[]]
  for (const { groups } of line.replace(/^\s*ExecStart=/, '').matchAll(TOKEN)) {
    if (groups?.['end'] !== undefined) commands.push([])
    const word = groups?.['word']
    if (word !== undefined) commands.at(-1)?.push(word.replaceAll(/['"]|\\(?=.)/g, ''))
  }
  return commands
}
