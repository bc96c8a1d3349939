/** The bundle as a script. @module */

import * as assert from 'uvu/assert'
import { programText } from '../../../build/start/program_text.ts'
import { suite } from '../../_lib/uvu.ts'

const HEAD =
  "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"

const test = suite('build/start/program text', () => ({}))

test('programText() is a function of require, keeps each line, and drops the map', () => {
  const text = programText(`${HEAD}\nvar code = await run();\n//# sourceMappingURL=a.mjs.map\n`)
  assert.is(text, "(async function (require) { 'use strict';\nvar code = await run();\n})")
})

for (const [what, body] of [
  ['another import', "\nimport { a } from 'a';"],
  ['an export', '\nexport { a };'],
  ['a character that Latin-1 does not have', '\n// it’s'],
] as const) {
  test(`programText() refuses ${what}`, () => {
    assert.throws(() => programText(`${HEAD}${body}\n`), /^Wanted a bundle/)
  })
}

test('programText() refuses a bundle that begins otherwise', () => {
  assert.throws(() => programText('var a;\n'), /^Wanted a bundle that begins with/)
})

test.run()
