/** That what `npm run test:faults` and `test:chaos -- --planted` change is still there to be changed. @module */

import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { suite } from '../_lib/uvu.ts'
import { PLANTED } from '../chaos/planted.ts'
import { FAULTS } from './faults.ts'

const SRC = new URL('../../src/', import.meta.url)
const TEST = new URL('../', import.meta.url)

const test = suite('faults', () => ({}))

for (const { title, file, from, to } of [...FAULTS, ...PLANTED]) {
  test(`${title}: its text is once in ${file}`, async () => {
    const text = await readFile(new URL(file, SRC), 'utf8')
    assert.is(text.split(from).length - 1, 1)
    assert.is.not(from, to)
  })
}

for (const { title, by } of FAULTS) {
  test(`${title}: ${by} is there to find it`, () => {
    assert.ok(existsSync(new URL(`${by}.test.ts`, TEST)))
  })
}

test.run()
