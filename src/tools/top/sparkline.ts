/** Numbers as a line of bars, one character each. @module */

const BARS = '▁▂▃▄▅▆▇█'

/**
 * A place without anything is a space, so that few are not taken for none.
 *
 * @param each so many values are one place, counted from the end
 */
export function sparkline(values: readonly number[], each: number): string {
  const places = Array.from({ length: Math.ceil(values.length / each) }, (_, index) => {
    const end = values.length - index * each
    return values.slice(Math.max(end - each, 0), end).reduce((sum, value) => sum + value, 0)
  }).reverse()
  const most = Math.max(...places, 1)
  return places
    .map((value) => (value === 0 ? ' ' : (BARS[Math.ceil((value / most) * BARS.length) - 1] ?? '')))
    .join('')
}
