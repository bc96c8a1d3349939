/** Numbers out of Prometheus text, of a plugin or of an API server. @module */

const SAMPLE = /^(\w+)(?:\{(.*)\})? (\S+)$/
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g

/** The sum of all samples of that name whose labels are these and any others; 0 where there is none. */
export function metricSum(
  text: string,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number {
  let sum = 0
  for (const line of text.split('\n')) {
    const [, found, pairs = '', value] = SAMPLE.exec(line) ?? []
    if (found !== name) continue
    const given = new Map([...pairs.matchAll(LABEL)].map(([, key, text]) => [key, text]))
    if (Object.entries(labels).every(([key, wanted]) => given.get(key) === wanted)) {
      sum += Number(value)
    }
  }
  return sum
}
