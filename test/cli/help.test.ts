/**
 * What every command says about itself, at every width, and the suggestions for misspelt words.
 *
 * @module
 */

import type { Command } from 'commander'
import * as assert from 'uvu/assert'
import { allCommands, examplesOf, pathOf } from '../../src/cli/help.ts'
import { createProgram, runProgram } from '../../src/cli/program.ts'
import { memoryIo } from '../_lib/console/memory_io.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('cli/help', () => ({ io: memoryIo() }))

function commands(): Command[] {
  return allCommands(createProgram(memoryIo(), () => undefined))
}

async function helpOf(path: string, columns?: number): Promise<string> {
  const io = memoryIo({ columns })
  assert.is(await runProgram([...path.split(' ').slice(1), '--help'], io), 0)
  assert.is(io.complained(), '')
  return io.printed()
}

for (const columns of [60, 80, 120]) {
  test(`no line of any help is longer than ${columns} columns`, async () => {
    for (const path of commands().map(pathOf)) {
      const lines = (await helpOf(path, columns)).split('\n')
      assert.equal(
        lines.filter((line) => line.length > columns),
        [],
        path,
      )
    }
  })
}

test('commands are listed in groups, in the order of a newcomer', async () => {
  const help = await helpOf('trousseau')
  const groups = [...help.matchAll(/^(\S.*):\n {2}(\S+)/gm)].map(([, group, first]) => [
    group,
    first,
  ])
  assert.equal(groups, [
    ['Options', '-V,'],
    ['Try it', 'demo'],
    ['Set it up', 'config'],
    ['Run it, and check its health', 'serve'],
    ['See what is encrypted, and have it rewritten', 'scan'],
    ['For the day when all key services are gone', 'recovery-key'],
    ['About this program', 'verify-bundle'],
    ['As a plugin of OpenShift', 'With'],
    ['Exit codes', '0'],
  ])
})

test('every command has one example or two, which it takes, and shows them', async () => {
  const leaves = commands().filter((command) => command.commands.length === 0)
  assert.ok(leaves.length > 20)
  for (const path of leaves.map(pathOf)) {
    const help = (await helpOf(path)).replaceAll(/ \\\n +/g, ' ')
    const examples = examplesOf(named(path))
    assert.ok(examples.length === 1 || examples.length === 2, path)
    for (const example of examples) {
      assert.match(help, `\n  ${example}\n`)
      const command = named(path)
      const [line = ''] = example.slice(path.length).split(' > ')
      const { operands, unknown } = command.parseOptions(
        line.split(' ').filter((word) => word !== ''),
      )
      assert.equal(unknown, [], example)
      const { registeredArguments, options } = command
      const needed = registeredArguments.filter(({ required }) => required)
      assert.ok(operands.length >= needed.length, example)
      for (const option of options.filter(({ mandatory }) => mandatory)) {
        assert.is.not(command.getOptionValue(option.attributeName()), undefined, example)
      }
    }
  }
})

function named(path: string): Command {
  const command = commands().find((each) => pathOf(each) === path)
  if (command === undefined) throw new Error(`No command ${path}`)
  return command
}

test('what must be given is in the first line and marked; defaults have units, and switches none', async () => {
  for (const command of commands()) {
    const help = await helpOf(pathOf(command))
    const plain = help.replaceAll(/\n +/g, ' ')
    assert.not.match(plain, /default: (?:false|true|"|\[|\{)/)
    for (const { flags, mandatory } of command.options) {
      if (!mandatory) continue
      assert.match(plain.split('Options:')[0] ?? '', ` ${flags}`)
      assert.match(help, new RegExp(`^ +${flags}(?:[^-]|-(?!-))*\\(required\\)`, 'm'))
    }
  }
  assert.match(await helpOf('trousseau bench'), /--duration <duration> .* \(default: 10s\)$/m)
  assert.match(await helpOf('trousseau status'), /--timeout <duration> .* \(default: 3s\)$/m)
  assert.match(await helpOf('trousseau recover export'), /\(default: secrets\)$/m)
})

for (const [words, path] of [
  [['help', 'config', 'validate'], 'trousseau config validate'],
  [['config', 'help', 'validate'], 'trousseau config validate'],
  [['help', 'vault'], 'trousseau vault'],
  [['help'], 'trousseau'],
] as const) {
  test(`"${words.join(' ')}" shows the help of ${path}`, async ({ io }) => {
    assert.is(await runProgram(words, io), 0)
    assert.is(io.printed(), await helpOf(path))
  })
}

for (const [args, complaint] of [
  [['serve', '--conf', 'x'], "Unknown option '--conf' (Did you mean --config?)"],
  [['serve', '--conf=x'], "Unknown option '--conf' (Did you mean --config?)"],
  [['serve', '--take-over', '--confg', 'x'], "Unknown option '--confg' (Did you mean --config?)"],
  [['recover', 'export', '--ou', 'x'], "Unknown option '--ou' (Did you mean --out?)"],
  [['serve', '--take-over'], "Required option '--config <file>' not specified"],
  [['config', 'valdate', 'x'], "Unknown command 'valdate' (Did you mean validate?)"],
  [['validate', 'x'], 'Unknown command \'validate\' (Did you mean "trousseau config validate"?)'],
  [['help', 'config', 'valdate'], "Unknown command 'valdate' (Did you mean validate?)"],
  [['config', 'help', 'valdate'], "Unknown command 'valdate' (Did you mean validate?)"],
  [['config', 'help', '--xml'], "Unknown option '--xml'"],
  [['help', 'serv'], "Unknown command 'serv' (Did you mean serve?)"],
  [['help', 'nonsense'], "Unknown command 'nonsense'"],
  [['help', 'serve', 'x'], "'serve' has no command 'x'"],
] as const) {
  test(`"${args.join(' ')}" is told: ${complaint}`, async ({ io }) => {
    assert.is(await runProgram(args, io), 2)
    const [line, hint, ...more] = io.complained().trimEnd().split('\n')
    assert.is(line, `trousseau: ${complaint}`)
    assert.match(hint ?? '', /^hint: "trousseau help/)
    assert.equal(more, [])
    assert.is(io.printed(), '')
  })
}

test('a hint leads to the page of the command that was meant', async ({ io }) => {
  assert.is(await runProgram(['recover', 'export', '--xml'], io), 2)
  assert.match(io.complained(), 'hint: "trousseau help recover export" shows how it is called\n')
})

test('--version and -V say what the command does', async ({ io }) => {
  assert.is(await runProgram(['version'], io), 0)
  for (const option of ['--version', '-V']) {
    const other = memoryIo()
    assert.is(await runProgram([option], other), 0)
    assert.is(other.printed(), io.printed())
  }
})

test.run()
