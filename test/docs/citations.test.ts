/** Comments that send a reader to a page, or to a heading of it, send him to one that is there. @module */

import * as assert from 'uvu/assert'
import { suite } from '../_lib/uvu.ts'
import { COMMENT, filesBelow, read } from './architecture_page.ts'

const test = suite('docs/citations', () => ({}))

test('every page, and every heading, that a comment cites is there', async () => {
  const cited = (await Promise.all(['src', 'test', 'build'].map(citationsIn))).flat()
  const missing: string[] = []
  for (const { file, page, heading } of cited) {
    const text = await read(page).catch(() => '')
    const found = heading === undefined || new RegExp(`^#+ ${heading}$`, 'm').test(text)
    if (text === '' || !found) missing.push(`${file}: ${page} ${heading ?? ''}`)
  }

  assert.ok(cited.length > 20, `${cited.length} citations`)
  assert.equal(missing, [])
})

interface Citation {
  readonly file: string
  readonly page: string
  readonly heading: string | undefined
}

async function citationsIn(folder: string): Promise<Citation[]> {
  const files = (await filesBelow(folder)).filter((file) => file.endsWith('.ts'))
  const found = await Promise.all(
    files.map(async (file) => {
      const comments = (await read(file))
        .match(COMMENT)
        ?.join('\n')
        .replaceAll(/\s*\n \* ?/g, ' ')
      return [...(comments ?? '').matchAll(/(docs\/[\w/-]+\.md)(?:, "([^"]+)")?/g)].map(
        ([, page = '', heading]) => ({ file, page, heading }),
      )
    }),
  )
  return found.flat()
}

test.run()
