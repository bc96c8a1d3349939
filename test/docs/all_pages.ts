/** Every page that people read, for the tests that look at all of them. @module */

import { filesBelow, read } from './architecture_page.ts'

export interface Page {
  /** From the root. */
  readonly path: string
  readonly text: string
}

const AT_THE_ROOT = ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md']

export async function allPages(): Promise<Page[]> {
  const below = (await Promise.all(['docs', 'proto'].map(filesBelow))).flat()
  const paths = [...AT_THE_ROOT, ...below.filter((path) => path.endsWith('.md')).sort()]
  return await Promise.all(paths.map(async (path) => ({ path, text: await read(path) })))
}

const FENCED = /^( *)```([^\n]*)\n(.*?)^\1```$/gms

/** What readers see as text: without blocks of code, and without what stands between backticks. */
export function proseOf(text: string): string {
  return text.replaceAll(FENCED, '').replaceAll(/`[^`\n]*`/g, '`')
}

/** The blocks of code: fenced ones with what stands behind the fence, and indented ones. */
export function codeOf(text: string): { readonly info: string; readonly code: string }[] {
  const fenced = [...text.matchAll(FENCED)].map(([, , info = '', code = '']) => ({ info, code }))
  const indented = [...text.replaceAll(FENCED, '').matchAll(/(?:^ {4,}\S.*\n)+/gm)]
  return [...fenced, ...indented.map(([code]) => ({ info: '', code }))]
}

/** What stands between backticks in the text. */
export function inlineOf(text: string): string[] {
  return [...text.replaceAll(FENCED, '').matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code)
}
