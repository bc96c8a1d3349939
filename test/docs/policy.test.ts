/** docs/policy.md: its facts are those that there are, and every ready rule is one that a config takes. @module */

import * as assert from 'uvu/assert'
import { compileRule } from '../../src/policy/cel/compile.ts'
import { nodeSpecs, requestSpecs } from '../../src/policy/facts/vocabulary.ts'
import { suite } from '../_lib/uvu.ts'
import { read, rowsOf, section } from './architecture_page.ts'

const test = suite('docs/policy', () => ({}))
const PAGE = await read('docs/policy.md')

test('the table of facts is the vocabulary', () => {
  const specs = [
    ...nodeSpecs({ files: { NAME: '/file' }, encryptionConfig: '/file' }),
    ...requestSpecs(),
  ]
  const wanted = specs.map(({ path, type, source, worth }) => [`\`${path}\``, type, source, worth])

  assert.equal(rowsOf(section('Facts', PAGE)), wanted)
})

test('every ready rule is taken', () => {
  const specs = [
    ...nodeSpecs({ files: { apiServer: '/file' }, encryptionConfig: '/file' }),
    ...requestSpecs(),
  ]
  const rules = rowsOf(section('Ready rules', PAGE)).map(([, rule = '']) => rule.slice(1, -1))

  assert.ok(rules.length >= 12, `${rules.length} rules`)
  for (const rule of rules) {
    const { used } = compileRule(rule.replaceAll('\\|', '|'), specs)
    assert.ok(used.size > 0, rule)
  }
})

test.run()
