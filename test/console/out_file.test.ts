/** The file that `recover export` writes. @module */

import { execFile } from 'node:child_process'
import { readdir, readFile, stat } from 'node:fs/promises'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import { NODE } from '../_lib/plugin/process.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const run = promisify(execFile)
const MODULE = new URL('../../src/console/out_file.ts', import.meta.url).href
const PERMISSION = ['--permission', '--allow-fs-read=*', '--allow-fs-write=*']

const test = suite('console/out_file', () => ({}))

for (const [where, flags] of [
  ['with every right', []],
  ["under Node's permission model", PERMISSION],
] as const) {
  test(`OutFile is whole and its owner's alone once kept, and gone otherwise, ${where}`, async () => {
    await using folder = await tempFolder()
    const write = async (name: string, kept: boolean) => {
      const path = JSON.stringify(folder.at(name))
      const script = `
        const { OutFile } = await import('${MODULE}')
        await using file = await OutFile.make(${path}, new AbortController().signal)
        await file.write('a'.repeat(2_000_000))
        await file.write('b')
        ${kept ? 'await file.keep()' : ''}`
      await run(NODE, [...flags, '--input-type=module', '--eval', script])
    }

    await write('kept', true)
    await write('dropped', false)

    assert.equal(await readdir(folder.path), ['kept'])
    assert.is(await readFile(folder.at('kept'), 'utf8'), `${'a'.repeat(2_000_000)}b`)
    assert.is((await stat(folder.at('kept'))).mode & 0o777, 0o600)
  })
}

test.run()
