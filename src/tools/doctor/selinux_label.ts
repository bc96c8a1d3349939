/**
 * SELinux labels, `user:role:type:level`, as far as they are needed to compare two of them.
 *
 * @module
 */

export interface Label {
  readonly text: string
  readonly type: string
  /** The categories of the lower level, which a file or socket made by the process has. */
  readonly categories: ReadonlySet<number>
}

/** Undefined for anything that is no label, such as `kernel` or `unlabeled`. */
export function labelIn(text: string): Label | undefined {
  // The level may contain colons, and the kernel ends its answers with a zero byte.
  const trimmed = text.replaceAll('\0', '').trim()
  const [, type, level = ''] = /^[\w.-]+:[\w.-]+:([\w.-]+)(?::(\S+))?$/.exec(trimmed) ?? []
  return type === undefined
    ? undefined
    : { text: trimmed, type, categories: categoriesIn(level.split('-')[0] ?? '') }
}

/** `c1,c5.c7` is 1, 5, 6 and 7. */
function categoriesIn(level: string): ReadonlySet<number> {
  const named = level.split(':')[1] ?? ''
  const ranges = [...named.matchAll(/c(\d+)(?:\.c(\d+))?/g)].map(([, first = '0', last = first]) =>
    Array.from(
      { length: Math.max(Number(last) - Number(first) + 1, 0) },
      (_, at) => Number(first) + at,
    ),
  )
  return new Set(ranges.flat())
}
