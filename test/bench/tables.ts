/** Tables for a terminal or for a page in Markdown. @module */

export type Row = readonly string[]

/** The first row is the head. */
export function table(rows: readonly Row[], markdown: boolean): string {
  return markdown ? markdownTable(rows) : plainTable(rows)
}

export function whole(value: number): string {
  return Number.isFinite(value) ? value.toFixed(0) : ''
}

export function ratio(value: number): string {
  return Number.isFinite(value) ? value.toFixed(2) : ''
}

function plainTable(rows: readonly Row[]): string {
  const [head = []] = rows
  const columns = head.map((_, at) => ({
    width: Math.max(...rows.map((row) => row[at]?.length ?? 0)),
    isText: isText(at, rows),
  }))
  const line = (row: Row) =>
    columns
      .map(({ width, isText: left }, at) => {
        const text = row[at] ?? ''
        return left ? text.padEnd(width) : text.padStart(width)
      })
      .join('  ')
      .trimEnd()
  return rows.map(line).join('\n')
}

function markdownTable(rows: readonly Row[]): string {
  const line = (row: Row) => `| ${row.join(' | ')} |`
  const [head = [], ...body] = rows
  const rule = head.map((_, at) => (isText(at, rows) ? '---' : '---:'))
  return [head, rule, ...body].map(line).join('\n')
}

/** Words stand left, numbers right. */
function isText(at: number, [, ...body]: readonly Row[]): boolean {
  return !body.some((row) => /^-?\d/.test(row[at] ?? ''))
}
