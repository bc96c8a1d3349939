/** The built bundle names nothing of the machine that built it. @module */

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { suite } from '../_lib/uvu.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

const test = suite('build/bundle', () => ({}))

test('dist holds the bundle, its map and its licences, and no path of this machine', async () => {
  const files = (await readdir(join(ROOT, 'dist'))).filter((file) => file.includes('.mjs')).sort()

  assert.equal(files, ['trousseau.mjs', 'trousseau.mjs.LEGAL.txt', 'trousseau.mjs.map'])
  for (const file of files) {
    const text = await readFile(join(ROOT, 'dist', file), 'utf8')
    assert.not.ok(text.includes(ROOT), file)
  }
})

test.run()
