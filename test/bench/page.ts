/** The parts of docs/performance.md that the bench writes. @module */

import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

const PAGE = fileURLToPath(new URL('../../docs/performance.md', import.meta.url))

/** Replaces what stands between `<!-- part -->` and `<!-- /part -->`. */
export async function writePart(part: string, text: string): Promise<void> {
  const page = await readFile(PAGE, 'utf8')
  await writeFile(PAGE, withPart(page, part, text))
}

export function withPart(page: string, part: string, text: string): string {
  const place = new RegExp(`(?<=<!-- ${part} -->\\n)[\\s\\S]*(?=<!-- /${part} -->)`)
  if (!place.test(page)) throw new Error(`The page has no place for ${part}`)
  return page.replace(place, () => `\n${text}\n\n`)
}
