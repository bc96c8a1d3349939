/**
 * Wraps text to the width of a terminal: a long line continues below the column in which its text
 * began. In a pipe each line stays whole, for grep and diff.
 *
 * @module
 */

import { stripVTControlCharacters } from 'node:util'
import type { Io } from './io.ts'

/**
 * The largest indent, as a part of the width: beside a larger one there would be no room for words.
 */
const MOST_INDENT = 0.6
const FURTHER = 4

/** @param most columns that are used, since longer sentences are hard to read */
export function fitted(text: string, { columns }: Pick<Io, 'columns'>, most = Infinity): string {
  if (columns === undefined) return text
  const width = Math.min(columns, most)
  return text
    .split('\n')
    .map((line) => (widthOf(line) > width ? broken(line, width) : line))
    .join('\n')
}

/** Breaks at spaces alone, so that paths, key ids and the like stay whole and can be copied. */
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

/** Where the last column of the line begins. */
function indentOf(line: string, width: number): number {
  const column = /^.* {2}(?=\S)/.exec(line)?.[0].length ?? 0
  return column <= width * MOST_INDENT ? column : line.search(/\S/) + FURTHER
}

function widthOf(text: string): number {
  return stripVTControlCharacters(text).length
}
