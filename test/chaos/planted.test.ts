/** That what `npm run test:chaos -- --planted` changes is still there to be changed. @module */

import { readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { suite } from '../_lib/uvu.ts'
import { PLANTED } from './planted.ts'

const SRC = new URL('../../src/', import.meta.url)

const test = suite('chaos/planted', () => ({}))

for (const { title, file, from, to } of PLANTED) {
  test(`${title}: its text is once in ${file}`, async () => {
    const text = await readFile(new URL(file, SRC), 'utf8')
    assert.is(text.split(from).length - 1, 1)
    assert.is.not(from, to)
  })
}

test.run()
