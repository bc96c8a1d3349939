/** Every path that docs/security-review.md names was tried by a test that is there. @module */

import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { suite } from '../_lib/uvu.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
/** A file below test/, and a part of the title of one of its tests. */
const NAMED = /`([\w/]+)` "([^"]+)"/g
const ONE = new RegExp(`^${NAMED.source}$`)
/** Of the table of attacks: the kind, and by what it is kept. */
const ROW = /^\| ([STRIDE]) \| .* \| (.*) \|$/gm

interface Named {
  readonly file: string
  readonly title: string
}

function namedIn(text: string): Named[] {
  return [...text.matchAll(NAMED)].map(([, file = '', title = '']) => ({ file, title }))
}

const test = suite('docs/security_review', async () => {
  const page = await readFile(`${ROOT}docs/security-review.md`, 'utf8')
  const files = await readdir(`${ROOT}test`, { recursive: true })
  const paths = files.filter((file) => file.endsWith('.test.ts'))
  return { page, paths }
})

test('every test that the page names is there, under that title', async ({ page, paths }) => {
  const named = namedIn(page)
  assert.ok(named.length > 40, `${named.length} tests`)
  const wrong: string[] = []
  for (const { file, title } of named) {
    const titles = await titlesOf(file, paths)
    if (!titles.some((each) => each.includes(title))) wrong.push(`${file}: ${title}`)
  }
  assert.equal(wrong, [])
})

test('every path that was tried has a test, and each kind of attack has one', ({ page }) => {
  const rows = [...page.matchAll(ROW)]
  const bare = rows.filter(([, , by = '']) => !by.split('; ').every((each) => ONE.test(each)))
  assert.equal(
    bare.map(([row]) => row),
    [],
  )
  assert.equal(new Set(rows.map(([, kind]) => kind)), new Set('STRIDE'))
})

/** What stands in quotes as the title of a test, as it is written there. */
async function titlesOf(name: string, paths: readonly string[]): Promise<string[]> {
  const own = paths.filter((path) => path.replace(/(?:\.\w+)*\.test\.ts$/, '') === name)
  const texts = await Promise.all(own.map((path) => readFile(`${ROOT}test/${path}`, 'utf8')))
  return texts.flatMap((text) =>
    [...text.matchAll(/\btest\(\s*(['"`])(.*?)\1,/gs)].map(([, , title = '']) => title),
  )
}

test.run()
