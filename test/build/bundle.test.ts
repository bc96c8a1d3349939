/** The built bundle names nothing of the machine that built it. @module */

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import manifest from '../../package.json' with { type: 'json' }
import { suite } from '../_lib/uvu.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const { version } = manifest

const test = suite('build/bundle', () => ({}))

test('dist holds the bundle, its map and its licences, and no path of this machine', async () => {
  const files = (await readdir(join(ROOT, 'dist'))).filter((file) => file.includes('.mjs')).sort()

  assert.equal(files, ['trousseau.mjs', 'trousseau.mjs.LEGAL.txt', 'trousseau.mjs.map'])
  for (const file of files) {
    const text = await readFile(join(ROOT, 'dist', file), 'utf8')
    assert.not.ok(text.includes(ROOT), file)
  }
})

// One character in a comment makes that 4.5 MB more of memory.
test('the bundle is ASCII, since V8 keeps every other source with two bytes a character', async () => {
  const text = await readFile(join(ROOT, 'dist', 'trousseau.mjs'), 'latin1')
  const found = text.split('\n').filter((line) => [...line].some((each) => each > '\x7f'))
  assert.equal(found, [])
})

test('the licence of every package in the bundle goes with it', async () => {
  const text = await readFile(join(ROOT, 'dist', 'trousseau.mjs.LEGAL.txt'), 'utf8')
  const page = await readFile(join(ROOT, 'docs', 'dependencies.md'), 'utf8')
  const rows = page.matchAll(/^\| `([^`]+)` \| ([\d.]+) \| (.*?) \|/gm)

  const named = [...rows].map(([, name, of]) => `---- ${name} ${of}: `)
  assert.ok(named.length > 10, `${named.length} packages`)
  assert.equal(
    named.filter((line) => !text.includes(line)),
    [],
  )
  const own = (await readFile(join(ROOT, 'LICENSE'), 'utf8')).trim()
  assert.ok(text.includes(`---- trousseau ${version}: Apache-2.0 ----\n\n${own}\n`))
  // Of a package's own file; of sources, where there is none; of what a package took from others.
  for (const notice of ['Filip Skokan', 'Google Inc.', 'Ethan Arrowood', 'Fedor Indutny']) {
    assert.ok(text.includes(notice), notice)
  }
  assert.match(text, 'Redistributions in binary form')
})

test.run()
