/** That what `npm run test:faults` changes is still there to be changed. @module */

import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { suite } from '../_lib/uvu.ts'
import { FAULTS } from './faults.ts'

const SRC = new URL('../../src/', import.meta.url)
const TEST = new URL('../', import.meta.url)

const test = suite('faults', () => ({}))

for (const { title, file, from, to, by } of FAULTS) {
  test(`${title}: its text is once in ${file}, and ${by} is there to find it`, async () => {
    const text = await readFile(new URL(file, SRC), 'utf8')
    assert.is(text.split(from).length - 1, 1)
    assert.is.not(from, to)
    assert.ok(existsSync(new URL(`${by}.test.ts`, TEST)))
  })
}

test.run()
