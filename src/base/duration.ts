/** Durations in the form of the config: `2500ms`, `30s`, `5m` or `1h`. @module */

import * as v from 'valibot'

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const
type Unit = keyof typeof UNITS

/** `2500ms`, `30s`, `5m` or `1h`, read as milliseconds. */
export function duration(options: { readonly minMs: number; readonly maxMs: number }) {
  const { minMs, maxMs } = options
  const example = minMs <= 30_000 && maxMs >= 30_000 ? '30s' : durationText(maxMs)
  const expected = `a duration from ${durationText(minMs)} to ${durationText(maxMs)}, with its unit, such as "${example}"`
  return v.pipe(
    v.string(expected),
    v.regex(/^\d{1,9}(?:ms|s|m|h)$/, expected),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      const ms = durationMs(dataset.value)
      if (ms >= minMs && ms <= maxMs) return ms
      addIssue({ expected, message: expected })
      return NEVER
    }),
  )
}

function durationMs(text: string): number {
  const unit = /[a-z]+$/.exec(text)?.[0] as Unit
  return Number.parseInt(text, 10) * UNITS[unit]
}

/** The text that a config could have for the duration, in the largest unit that divides it. */
export function durationText(ms: number): string {
  const [unit, size] = Object.entries(UNITS).findLast(
    ([, each]) => ms % each === 0 && ms >= each,
  ) ?? ['s', 1]
  return `${ms / size}${unit}`
}
