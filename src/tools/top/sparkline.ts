/** Numbers as a line of bars, one character each. @module */

const BARS = '▁▂▃▄▅▆▇█'

/** A minute without anything is a space, so that few are not taken for none. */
export function sparkline(values: readonly number[]): string {
  const most = Math.max(...values, 1)
  return values
    .map((value) => (value === 0 ? ' ' : (BARS[Math.ceil((value / most) * BARS.length) - 1] ?? '')))
    .join('')
}
