/** Every config on every page is accepted by the program. @module */

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { parseConfig } from '../../src/config/load.ts'
import { suite } from '../_lib/uvu.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

const test = suite('docs/configs', () => ({}))

async function pages(): Promise<string[]> {
  const docs = await readdir(join(ROOT, 'docs'), { recursive: true })
  return [
    'README.md',
    ...docs.filter((file) => file.endsWith('.md')).map((file) => join('docs', file)),
  ]
}

test('every whole config on a page is taken', async () => {
  let seen = 0
  for (const page of await pages()) {
    const text = await readFile(join(ROOT, page), 'utf8')
    for (const [, yaml = ''] of text.matchAll(/^```yaml\n(.*?)^```$/gms)) {
      if (!/^kind: TrousseauConfig$/m.test(yaml)) continue
      parseConfig(parse(yaml, { uniqueKeys: true }), page)
      seen += 1
    }
  }
  assert.ok(seen >= 15, `${seen} configs`)
})

test('every page that a page links to is there', async () => {
  const missing: string[] = []
  for (const page of await pages()) {
    const text = await readFile(join(ROOT, page), 'utf8')
    for (const [, link = ''] of text.matchAll(
      /\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)/g,
    )) {
      const there = await readFile(join(ROOT, page, '..', link)).then(
        () => true,
        (error: NodeJS.ErrnoException) => error.code === 'EISDIR',
      )
      if (!there) missing.push(`${page}: ${link}`)
    }
  }
  assert.equal(missing, [])
})

test.run()
