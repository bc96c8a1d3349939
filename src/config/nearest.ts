/** Suggests the word that somebody meant who misspelt it. @module */

/** The word that is spelt most like `text`; undefined where none is similar. */
export function nearest(text: string, words: readonly string[]): string | undefined {
  const plain = bare(text)
  const near = words
    // One that is much longer than all words would take long to compare.
    .filter((word) => Math.abs(plain.length - bare(word).length) <= mostFor(word))
    .map((word) => ({ word, distance: distanceOf(plain, bare(word)) }))
    .filter(({ word, distance }) => distance <= mostFor(word))
    .toSorted((a, b) => a.distance - b.distance)
  return near[0]?.word
}

function mostFor(word: string): number {
  return Math.max(1, Math.floor(word.length / 3))
}

/** Ignores case and the characters that join words. */
function bare(text: string): string {
  return text.toLowerCase().replaceAll(/[-_ ]/g, '')
}

/** How many letters must be inserted, removed, changed, or swapped with the next one. */
function distanceOf(one: string, other: string): number {
  const rows = [Array.from({ length: other.length + 1 }, (_, at) => at)]
  const cell = (line: number, at: number) => rows[line]?.[at] ?? Number.POSITIVE_INFINITY
  for (let line = 1; line <= one.length; line++) {
    rows[line] = [line]
    for (let at = 1; at <= other.length; at++) {
      const swapped = one[line - 1] === other[at - 2] && one[line - 2] === other[at - 1]
      rows[line]?.push(
        Math.min(
          cell(line - 1, at - 1) + Number(one[line - 1] !== other[at - 1]),
          cell(line - 1, at) + 1,
          cell(line, at - 1) + 1,
          swapped ? cell(line - 2, at - 2) + 1 : Number.POSITIVE_INFINITY,
        ),
      )
    }
  }
  return cell(one.length, other.length)
}
