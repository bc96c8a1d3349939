/** The page of the commands names every command that ends with 3. @module */

import { readdir, readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { suite } from '../_lib/uvu.ts'

const test = suite('docs/exit_codes', () => ({}))
const TOOLS = new URL('../../src/tools/', import.meta.url)
/** Folders that are not called as their command. */
const COMMANDS: Readonly<Record<string, string>> = {
  audit: 'audit verify',
  conformance: 'check',
  keys: 'login-key state',
  load: 'bench',
}

test('docs/cli.md says of which commands the exit code is 3', async () => {
  const page = await readFile(new URL('../../docs/cli.md', import.meta.url), 'utf8')
  const row = /^\| 3 \|.*$/m.exec(page)?.[0] ?? ''
  const files = (await readdir(TOOLS, { recursive: true })).filter((name) => name.endsWith('.ts'))
  const commands = new Set<string>()
  for (const file of files) {
    const text = await readFile(new URL(file, TOOLS), 'utf8')
    const folder = /^[a-z]+/.exec(file)?.[0] ?? file
    if (text.includes('EXIT.unhealthy')) commands.add(COMMANDS[folder] ?? folder)
  }

  assert.ok(commands.size >= 6, [...commands].join())
  assert.equal(
    [...commands].filter((name) => !row.includes(`\`${name}\``)),
    [],
  )
})

test.run()
