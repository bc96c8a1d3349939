/** docs/contract.md and docs/signer.md say which tests cite each rule; this test checks that they do. @module */

import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { suite } from '../_lib/uvu.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const FAMILIES = { S: 15, E: 16, D: 12, T: 21, F: 10, V: 6, J: 16 } as const
const PAGES = ['docs/contract.md', 'docs/signer.md']

interface Row {
  readonly rule: string
  readonly how: string
  readonly tests: readonly string[]
}

const test = suite('docs/contract', async () => {
  const texts = await Promise.all(PAGES.map((page) => readFile(`${ROOT}${page}`, 'utf8')))
  const rows = texts
    .join('\n')
    .split('\n')
    .flatMap((line): Row[] => {
      const [rule = '', ...cells] = line.replace(/^\| | \|$/g, '').split(' | ')
      const [how = '', tests = ''] = cells.slice(-2)
      if (!/^[A-Z]\d+$/.test(rule)) return []
      return [{ rule, how, tests: [...tests.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name) }]
    })
  return { rows }
})

test('every rule has its row', ({ rows }) => {
  const wanted = Object.entries(FAMILIES).flatMap(([family, count]) =>
    Array.from({ length: count }, (_, index) => `${family}${index + 1}`),
  )
  assert.equal(rows.map(({ rule }) => rule).sort(), wanted.sort())
})

test('every test that a row names cites the rule in a title', async ({ rows }) => {
  const wrong: string[] = []
  for (const { rule, tests } of rows) {
    for (const name of tests) {
      const source = await sourceOf(name)
      if (!new RegExp(`\\b${rule}\\b`).test(source)) wrong.push(`${rule}: ${name}`)
    }
  }
  assert.equal(wrong, [])
})

test('a row without tests says why', ({ rows }) => {
  for (const { rule, how, tests } of rows) {
    assert.ok(tests.length > 0 || how.length > 20, rule)
  }
})

/** `tools/conformance/run` is the command, whose rules are objects rather than titles. */
async function sourceOf(name: string): Promise<string> {
  if (name === 'tools/conformance/run') {
    const files = ['status', 'encrypt', 'decrypt', 'transport', 'v1beta1']
    const texts = files.map((file) =>
      readFile(`${ROOT}src/tools/conformance/${file}_rules.ts`, 'utf8'),
    )
    return (await Promise.all(texts)).join('\n')
  }
  for (const ending of [
    '.test.ts',
    '.node.test.ts',
    '.cluster.test.ts',
    '.kubelet.test.ts',
    '.load.test.ts',
    '.solo.test.ts',
    '.ts',
  ]) {
    const text = await readFile(`${ROOT}test/${name}${ending}`, 'utf8').catch(() => undefined)
    if (text !== undefined) return text
  }
  throw new Error(`No test file ${name}`)
}

test.run()
