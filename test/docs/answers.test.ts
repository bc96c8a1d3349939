/**
 * docs/answers.md says where each field is checked and which lie shows it; these tests compare both
 * with the sources.
 *
 * @module
 */

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { awsDialect } from '../_lib/services/aws/lies.ts'
import { azureDialect } from '../_lib/services/azure/lies.ts'
import { googleDialect } from '../_lib/services/google/lies.ts'
import { HOLLOW } from '../_lib/services/lie.ts'
import { vaultDialect } from '../_lib/services/vault/lies.ts'
import { suite } from '../_lib/uvu.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const DIALECTS = [vaultDialect, awsDialect, azureDialect(false), azureDialect(true), googleDialect]
const LIES = new Set([
  ...HOLLOW.map(([does]) => does),
  ...DIALECTS.flatMap(({ lies }) => lies.map(({ does }) => does)),
])

const test = suite('docs/answers', async () => {
  const text = await readFile(`${ROOT}docs/answers.md`, 'utf8')
  const cells = text
    .split('\n')
    .filter((line) => line.startsWith('| ') && !/^\| (?:field|---) /.test(line))
    .map((line) => line.replace(/^\| | \|$/g, '').split(' | '))
  return { rows: cells.map(([field = '', , by = '', lie = '']) => ({ field, by, lie })) }
})

test('every function that a row names is in the sources', async ({ rows }) => {
  const files = (await readdir(`${ROOT}src`, { recursive: true })).filter((one) =>
    one.endsWith('.ts'),
  )
  const sources = await Promise.all(files.map((one) => readFile(join(ROOT, 'src', one), 'utf8')))
  const all = sources.join('\n')
  const named = rows.flatMap(({ by }) => [...by.matchAll(/`(\w+)`/g)].map(([, name]) => name))
  const FIELDS = ['key_version', 'reference']

  const missing = named.filter(
    (name) => !FIELDS.includes(name ?? '') && !new RegExp(`\\b${name}\\b`).test(all),
  )

  assert.ok(named.length > 30)
  assert.equal(missing, [])
})

test('every lie that a row names is told in the tests, and every one that is told is in a row', ({
  rows,
}) => {
  const named = rows.flatMap(({ lie }) =>
    /^(?:–|in `|every lie)/.test(lie) ? [] : lie.split('; '),
  )

  assert.equal(
    named.filter((does) => !LIES.has(does)),
    [],
  )
  const families = [...LIES].map((does) => does.replace(/\b[34]\d\d\b/, 'N'))
  const shown = new Set(named.map((does) => does.replace(/\b[34]\d\d\b/, 'N')))
  assert.equal(
    families.filter((does) => !shown.has(does)),
    [],
  )
})

test('a row without a lie says why none is needed, or which test shows it', ({ rows }) => {
  for (const { field, by, lie } of rows) {
    if (lie !== '–') assert.ok(lie.length > 5, field)
    else assert.match(by, /need not be|not (?:visible )?in an answer/, field)
  }
})

test('every test file that a row names is there', async ({ rows }) => {
  const names = rows.flatMap(({ lie }) =>
    lie.startsWith('in ') ? [...lie.matchAll(/`([\w/]+)`/g)].map(([, name]) => name) : [],
  )
  const files = await readdir(`${ROOT}test`, { recursive: true })
  const known = new Set(files.map((file) => file.replace(/(?:\.\w+)?\.test\.ts$/, '')))

  assert.equal(
    names.filter((name) => !known.has(name ?? '')),
    [],
  )
})

test.run()
