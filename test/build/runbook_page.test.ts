import * as assert from 'uvu/assert'
import { looksLike, stepsOf } from '../_lib/runbook/page.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('build/runbook_page', () => ({}))

test('stepsOf() takes marked blocks in order, without the indent of a list, and nothing else', () => {
  const page = [
    '# 1. title',
    '1. Do it:',
    '',
    '   ```sh run',
    '   cat <<END',
    '     deep',
    '   END',
    '   ```',
    '   ```text see',
    '   deep',
    '   ```',
    '```yaml',
    'not: run',
    '```',
    '## Later',
    '<!-- meanwhile: it rains -->',
    '```sh',
    'not run either',
    '```',
  ].join('\n')

  assert.equal(stepsOf(page), [
    { kind: 'run', text: 'cat <<END\n  deep\nEND\n', number: 1, line: 4 },
    { kind: 'see', text: 'deep\n', number: 1, line: 9 },
    { kind: 'meanwhile', text: 'it rains', number: 0, line: 16 },
  ])
})

test('looksLike() takes … for anything in a line or for whole lines, and blanks as one', () => {
  assert.ok(looksLike('a   b 17 ms\n', 'a b … ms'))
  assert.ok(looksLike('a\nb\nc\nd\n', 'a\n…\nd'))
  assert.ok(looksLike('a\nb\n', '…\nb'))
  assert.ok(looksLike('a\nb\n', 'a\n…'))
  assert.ok(looksLike('(1.5) [x] $y', '(1.5) [x] $y'))
  assert.not.ok(looksLike('a\nb', 'a'))
  assert.not.ok(looksLike('1x5', '1.5'))
  assert.not.ok(looksLike('a\nb\nc', 'a…c'))
})

test.run()
