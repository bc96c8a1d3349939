/**
 * Every command line of the program on every page is one that the program takes: its own parser
 * reads it, and nothing is done.
 *
 * @module
 */

import { type Command, CommanderError } from 'commander'
import * as assert from 'uvu/assert'
import { createProgram } from '../../src/cli/program.ts'
import { memoryIo } from '../_lib/console/memory_io.ts'
import { suite } from '../_lib/uvu.ts'
import { allPages, codeOf, inlineOf } from './all_pages.ts'
import { read } from './architecture_page.ts'
import { commandsIn } from './shell_words.ts'

const test = suite('docs/commands', () => ({}))

/** What a page says for whatever the reader has, where the program looks at a word. */
const STAND_INS: Readonly<Record<string, string>> = {
  KIND: 'static-pod',
  RULE: 'files',
  $ETCDCTL_ENDPOINTS: 'https://127.0.0.1:2379',
  $ENCRYPTED: 'secrets',
  '11=5b9d…': `11=${'0'.repeat(64)}`,
}
/** The arguments of a function of the page's own. */
const HANDED_ON = '$@'
/** Blocks that show what is printed, or hold something else than commands. */
const NO_COMMANDS = /^(?:text|yaml|json|mermaid|hcl|js)/

/** All of the program, with nothing behind its commands. */
function program(): Command {
  const root = createProgram(memoryIo(), () => undefined)
  for (const command of below(root)) {
    if (command.commands.length === 0) command.action(() => undefined)
  }
  return root
}

function below(command: Command): Command[] {
  return [command, ...command.commands.flatMap(below)]
}

/** What the program says against a command line; undefined where it takes it. */
async function complaintAbout(words: readonly string[]): Promise<CommanderError | undefined> {
  const meant = words.filter((word) => word !== HANDED_ON).map((word) => STAND_INS[word] ?? word)
  try {
    await program().parseAsync(meant, { from: 'user' })
    return undefined
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    return error.exitCode === 0 ? undefined : error
  }
}

/** Calls of the program, each with its page. */
async function calls(
  shellsOf: (page: string) => readonly string[],
): Promise<{ path: string; words: readonly string[] }[]> {
  return (await allPages()).flatMap(({ path, text }) =>
    shellsOf(text)
      .flatMap(commandsIn)
      .map((words) => ({ path, words })),
  )
}

test('what the program does not take is told', async () => {
  assert.is(await complaintAbout(['status', '--socket', '/run/kms.sock']), undefined)
  for (const [words, code] of [
    [['stats', '--socket', '/run/kms.sock'], 'commander.unknownCommand'],
    [['status', '--sockets', '/run/kms.sock'], 'commander.unknownOption'],
    [['serve'], 'commander.missingMandatoryOptionValue'],
    [['config', 'validat', 'FILE'], 'commander.unknownCommand'],
    [['manifests', 'pod', '--config', 'FILE'], 'commander.invalidArgument'],
    [['config', 'validate', 'FILE', 'another'], 'commander.excessArguments'],
  ] as const) {
    assert.is((await complaintAbout(words))?.code, code, words.join(' '))
  }
})

test('the program takes every command line in the blocks of code', async () => {
  const found = await calls((text) =>
    codeOf(text)
      .filter(({ info }) => !NO_COMMANDS.test(info))
      .map(({ code }) => code),
  )
  const wrong: string[] = []
  for (const { path, words } of found) {
    const complaint = await complaintAbout(words)
    if (complaint !== undefined) wrong.push(`${path}: ${words.join(' ')}: ${complaint.message}`)
  }
  assert.equal(wrong, [])
  assert.ok(found.length > 100, `${found.length} command lines`)
})

test('the program knows every command and option that a sentence names', async () => {
  const found = await calls((text) => inlineOf(text).filter((code) => !ABRIDGED.test(code)))
  const wrong: string[] = []
  for (const { path, words } of found) {
    const { code = '', message } = (await complaintAbout(words)) ?? {}
    if (UNKNOWN.has(code) && words.join(' ') !== HASHED)
      wrong.push(`${path}: ${words.join(' ')}: ${message}`)
  }
  assert.equal(wrong, [])
  assert.ok(found.length > 120, `${found.length} calls`)
})
/** With a choice in it, or something left out. */
const ABRIDGED = /[…[\]|]/
/** A sentence may leave out what a command needs besides. */
const UNKNOWN = new Set(['commander.unknownCommand', 'commander.unknownOption'])
/** The first bytes of what a key id is the digest of, in docs/envelope.md. */
const HASHED = 'key id 1'

test('package.json has every npm script that a page names', async () => {
  const { scripts } = JSON.parse(await read('package.json'))
  const named = (await allPages()).flatMap(({ path, text }) =>
    [...text.matchAll(/npm run (?:--silent )?([\w:]+)/g)].map(([, script = '']) => ({
      path,
      script,
    })),
  )
  assert.ok(named.length > 40, `${named.length} scripts`)
  assert.equal(
    named.filter(({ script }) => !Object.hasOwn(scripts, script)),
    [],
  )
})

test.run()
