/** Links between the pages lead somewhere, and to every page. @module */

import { stat } from 'node:fs/promises'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { suite } from '../_lib/uvu.ts'
import { allPages, type Page, proseOf } from './all_pages.ts'

const test = suite('docs/links', () => ({}))
const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const PAGES = await allPages()
const TEXTS = new Map(PAGES.map(({ path, text }) => [path, text]))

interface Link {
  readonly from: string
  readonly to: string
}

function linksOf({ path, text }: Page): Link[] {
  return [...proseOf(text).matchAll(/\]\(([^)]*)\)/g)].map(([, to = '']) => ({ from: path, to }))
}

const LINKS = PAGES.flatMap(linksOf)
const OUTSIDE = LINKS.filter(({ to }) => /^\w+:/.test(to))
const INSIDE = LINKS.filter((link) => !OUTSIDE.includes(link))

function shown({ from, to }: Link): string {
  return `${from}: ${to}`
}

/** The file or folder, from the root. */
function targetOf({ from, to }: Link): string {
  const [path = ''] = to.split('#')
  return path === '' ? from : posix.join(posix.dirname(from), path)
}

async function leadsSomewhere(link: Link): Promise<boolean> {
  const target = targetOf(link)
  const there = await stat(`${ROOT}${target}`).then(
    () => true,
    () => false,
  )
  const [, anchor] = link.to.split('#')
  if (anchor === undefined) return there
  const text = TEXTS.get(target)
  return text !== undefined && anchorsOf(text).has(anchor)
}

/** What GitHub makes of the headings: a second one of the same words gets `-1`. */
function anchorsOf(text: string): ReadonlySet<string> {
  const anchors = new Set<string>()
  const headings = text.replaceAll(/^ *```.*?^ *```$/gms, '').matchAll(/^#+ (.+)$/gm)
  for (const [, heading = ''] of headings) {
    const slug = heading
      .replaceAll(/\]\([^)]*\)/g, '')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\p{M} _-]/gu, '')
      .replaceAll(' ', '-')
    let anchor = slug
    for (let again = 1; anchors.has(anchor); again += 1) anchor = `${slug}-${again}`
    anchors.add(anchor)
  }
  return anchors
}

test('every link leads to a file that is there, and every anchor to a heading of it', async () => {
  const well = await Promise.all(INSIDE.map(leadsSomewhere))
  assert.ok(INSIDE.length > 500, `${INSIDE.length} links`)
  assert.equal(INSIDE.filter((_, at) => !well[at]).map(shown), [])
})

test('every link to elsewhere is a whole address with https', () => {
  const wrong = OUTSIDE.filter(({ to }) => {
    if (!to.startsWith('https://') || /\s/.test(to) || !URL.canParse(to)) return true
    return !new URL(to).hostname.includes('.')
  })
  assert.ok(OUTSIDE.length > 50, `${OUTSIDE.length} links`)
  assert.equal(wrong.map(shown), [])
})

test('README.md leads to every page', () => {
  const seen = new Set(['README.md'])
  for (const path of seen) {
    for (const link of INSIDE.filter(({ from }) => from === path)) {
      const target = targetOf(link)
      if (TEXTS.has(target)) seen.add(target)
    }
  }
  assert.equal(
    PAGES.map(({ path }) => path).filter((path) => !seen.has(path)),
    [],
  )
})

test.run()
