/** docs/architecture.md and the sources that it is a map of, for the tests that compare them. @module */

import { readdir, readFile } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
export const PAGE = await readFile(join(ROOT, 'docs/architecture.md'), 'utf8')
/** Paths from the root. */
export const FILES = new Set(
  (await Promise.all(['src', 'test', 'build', 'docs'].map(filesBelow))).flat().concat('README.md'),
)
/** What stands in them, by their paths. */
export const SOURCES = new Map(
  await Promise.all(
    [...FILES]
      .filter((file) => /^src\/.*\.(?:ts|json)$/.test(file))
      .map(async (file) => [file, await read(file)] as const),
  ),
)

export function read(file: string): Promise<string> {
  return readFile(join(ROOT, file), 'utf8')
}

/** All files in a folder and below it, from the root. */
export async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(join(ROOT, folder), { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => posix.join(entry.parentPath.slice(ROOT.length), entry.name))
}

/** What stands under a heading, up to the next one of its rank. */
export function section(heading: string, page = PAGE): string {
  const [, marks = ''] = new RegExp(`^(#+) ${heading}$`, 'm').exec(page) ?? []
  assert.ok(marks !== '', `no heading "${heading}"`)
  const [, text = ''] = page.split(`${marks} ${heading}\n`)
  return text.split(new RegExp(`^#{2,${marks.length}} `, 'm'))[0] ?? ''
}

/** Of each row of a section's table, its cells; without the head. */
export function rowsOf(text: string): string[][] {
  const rows = [...text.matchAll(/^\| (.*) \|$/gm)].map(([, row = '']) => row.split(' | '))
  return rows.slice(2)
}

export function quotedIn(text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, quoted = '']) => quoted)
}

/** The page leaves `src/` out. */
export function pathOf(named: string): string {
  return /^(?:build|docs|test)\/|^README\.md$/.test(named) ? named : `src/${named}`
}

export function sourceOf(file: string): string {
  const text = SOURCES.get(file)
  assert.ok(text !== undefined, `there is no ${file}`)
  return text ?? ''
}

/** A doc comment. */
export const COMMENT = /\/\*\*.*?\*\//gs
