/** JSON for people and scripts: indented, but a list of numbers stands on one line. @module */

/** Such a list as an indented document has it. No text in it matches, since JSON escapes line breaks. */
const NUMBERS = /\[\n\s+((?:-?[\d.]+|null)(?:,\n\s+(?:-?[\d.]+|null))*)\n\s+\]/g

export function jsonText(value: unknown): string {
  const text = JSON.stringify(value, null, 2).replaceAll(
    NUMBERS,
    (_, list: string) => `[${list.replaceAll(/,\n\s+/g, ', ')}]`,
  )
  return `${text}\n`
}
