/** Lengths of time in words. @module */

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
] as const

/** A time such as `3 d`, in the largest unit of which there is at least one. */
export function spanOf(ms: number): string {
  for (const [name, unit] of UNITS) if (ms >= unit) return `${Math.floor(ms / unit)} ${name}`
  return `${Math.max(Math.round(ms / 1_000), 0)} s`
}
