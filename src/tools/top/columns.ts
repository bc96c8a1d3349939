/** Tables that fit a width: columns that can be spared go first, then texts are cut. @module */

import type { Io } from '../../console/io.ts'
import { type Color, paint, printable } from '../../console/output.ts'

export interface Column<T> {
  readonly title: string
  readonly text: (row: T) => string
  readonly color?: (row: T) => Color
  /** Characters of the longest text that is shown. */
  readonly most?: number
  /** Of those that have it, the one with the greatest number is left out first. */
  readonly spare?: number
}

const GAP = '  '
const MARK = '> '

/** @param at the row that is marked */
export function columns<T>(
  all: readonly Column<T>[],
  rows: readonly T[],
  at: T | undefined,
  width: number,
  io: Io,
): string[] {
  const shown = fitting(
    all.map((column) => measured(column, rows)),
    width - MARK.length,
  )
  const title = shown.map(({ column, size }) => column.title.padEnd(size)).join(GAP)
  return [
    cut(`${' '.repeat(MARK.length)}${title}`.trimEnd(), width),
    ...rows.map((row) => `${row === at ? MARK : ' '.repeat(MARK.length)}${lineOf(row, shown, io)}`),
  ]
}

interface Measured<T> {
  readonly column: Column<T>
  readonly size: number
}

function measured<T>(column: Column<T>, rows: readonly T[]): Measured<T> {
  const { title, most = Number.POSITIVE_INFINITY } = column
  const longest = Math.max(title.length, ...rows.map((row) => printable(column.text(row)).length))
  return { column, size: Math.min(longest, Math.max(most, title.length)) }
}

function fitting<T>(all: readonly Measured<T>[], width: number): readonly Measured<T>[] {
  const used = all.reduce((sum, { size }) => sum + size + GAP.length, -GAP.length)
  if (used <= width) return all
  const [first] = [...all].sort((one, two) => (two.column.spare ?? 0) - (one.column.spare ?? 0))
  if (first?.column.spare !== undefined) {
    return fitting(
      all.filter((each) => each !== first),
      width,
    )
  }
  const [others, last] = [all.slice(0, -1), all.at(-1)]
  if (last === undefined) return all
  const size = last.size - (used - width)
  return size < last.column.title.length ? fitting(others, width) : [...others, { ...last, size }]
}

function lineOf<T>(row: T, shown: readonly Measured<T>[], io: Io): string {
  return shown
    .map(({ column, size }, index) => {
      const text = cut(printable(column.text(row)), size)
      const cell = index === shown.length - 1 ? text : text.padEnd(size)
      return column.color === undefined ? cell : paint(io, column.color(row), cell)
    })
    .join(GAP)
}

/** At most so many characters, with a sign that there were more. */
export function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, Math.max(most - 1, 0))}…`
}

/** Lines of at most so many characters, broken at spaces where there are any. */
export function wrapped(text: string, most: number): string[] {
  if (text === '') return []
  const width = Math.max(most, 10)
  const lines: string[] = ['']
  for (const word of text.split(' ').flatMap((each) => chunks(each, width))) {
    const last = lines.at(-1) ?? ''
    if (last === '') lines[lines.length - 1] = word
    else if (last.length + word.length < width) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines
}

function chunks(word: string, size: number): string[] {
  return word.length <= size ? [word] : [word.slice(0, size), ...chunks(word.slice(size), size)]
}
