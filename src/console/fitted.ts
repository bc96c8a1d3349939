/**
 * Text for people, no wider than their terminal: what is longer goes on below the column in
 * which it began. A pipe gets each line whole, for grep and diff.
 *
 * @module
 */

import { stripVTControlCharacters } from 'node:util'
import type { Io } from './io.ts'

/** Of the width, at most: beside less there is no room for words. */
const MOST_INDENT = 0.6
const FURTHER = 4

/** @param most columns, since longer sentences are hard to read */
export function fitted(text: string, { columns }: Pick<Io, 'columns'>, most = Infinity): string {
  if (columns === undefined) return text
  const width = Math.min(columns, most)
  return text
    .split('\n')
    .map((line) => (widthOf(line) > width ? broken(line, width) : line))
    .join('\n')
}

/** At spaces alone: paths, key ids and the like stay whole, so that they can be copied. */
function broken(line: string, width: number): string {
  const indent = indentOf(stripVTControlCharacters(line), width)
  const lines: string[] = []
  let last = ''
  for (const word of line.match(/ *[^ ]+/g) ?? []) {
    if (last.trim() !== '' && widthOf(last + word) > width) {
      lines.push(last)
      const bare = word.trimStart()
      last = ' '.repeat(indent + widthOf(bare) > width ? FURTHER : indent) + bare
    } else last += word
  }
  return [...lines, last].join('\n')
}

/** Where its last column begins. */
function indentOf(line: string, width: number): number {
  const column = /^.* {2}(?=\S)/.exec(line)?.[0].length ?? 0
  return column <= width * MOST_INDENT ? column : line.search(/\S/) + FURTHER
}

function widthOf(text: string): number {
  return stripVTControlCharacters(text).length
}
