import * as assert from 'uvu/assert'
import { jsonText } from '../../src/base/json_text.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('base/json_text', () => ({}))

test('lists of numbers stand on one line, and everything else is indented', () => {
  const value = { list: [1, null, 2.5, -3], none: [], words: ['a'], deep: [{ p: [0] }] }

  assert.is(
    jsonText(value),
    `{
  "list": [1, null, 2.5, -3],
  "none": [],
  "words": [
    "a"
  ],
  "deep": [
    {
      "p": [0]
    }
  ]
}
`,
  )
})

test('what is read back is what was written, also of texts that look like such lists', () => {
  const value = { text: '[\n  1,\n  2\n]', list: [1e21, 1e-7, 0], more: ['[\n  1\n]'] }

  assert.equal(JSON.parse(jsonText(value)), value)
})

test.run()
