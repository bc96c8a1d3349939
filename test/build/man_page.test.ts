/** The man page contains everything that the commands say about themselves. @module */

import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { manPage } from '../../build/man_page.ts'
import { allCommands, examplesOf, usageOf } from '../../src/cli/help.ts'
import { createProgram } from '../../src/cli/program.ts'
import { memoryIo } from '../_lib/console/memory_io.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('build/man page', () => ({}))
const REQUEST = /^\.(?:\\"|TH|SH|SS|TP|PP|br|nf|fi)(?: |$)/

test('the page in docs is the one of these commands, and is taken by any man', async () => {
  const page = await readFile(
    fileURLToPath(new URL('../../docs/trousseau.1', import.meta.url)),
    'utf8',
  )
  assert.is(page, manPage())
  for (const line of page.split('\n')) {
    assert.ok(!/^[.']/.test(line) || REQUEST.test(line), line)
    // Of escapes only these are used: fonts, hyphens, backslashes and nothing.
    assert.not.match(line.replaceAll(/\\(?:f[BIR]|-|e|&)|^\.\\"/g, ''), '\\')
  }
})

test('every command is there with its options, values and examples', () => {
  const page = manPage()
    .replaceAll(/\\f[BIR]/g, '')
    .replaceAll('\\-', '-')
    .replaceAll('\\e', '\\')
  const sections = new Map(
    page.split(/^\.SS /m).map((section) => [section.split('\n')[0], section] as const),
  )
  const program = createProgram(memoryIo(), () => undefined)
  const leaves = allCommands(program).filter(({ commands }) => commands.length === 0)
  assert.is(sections.size, leaves.length + 1)
  for (const command of leaves) {
    const section = sections.get(usageOf(command)) ?? ''
    for (const { flags, hidden } of command.options) {
      assert.is(section.includes(`\n.TP\n${flags}\n`), !hidden, `${usageOf(command)}: ${flags}`)
    }
    for (const example of examplesOf(command)) assert.match(section, `    ${example}\n`)
  }
  assert.match(page, /^\.TP\n130\nstopped by a signal/m)
})

test.run()
