/**
 * Which code of `src/` has run, block by block, as V8 counts it. Each call of {@link Coverage.take}
 * costs some milliseconds, so it is asked after many inputs and not after each.
 *
 * @module
 */

import { Session } from 'node:inspector'
import { fileURLToPath } from 'node:url'

interface Range {
  readonly startOffset: number
  readonly endOffset: number
  readonly count: number
}
interface Script {
  readonly url: string
  readonly functions: readonly {
    readonly functionName: string
    readonly ranges: readonly Range[]
  }[]
}

/** What one function did: a 1 for each of its characters that ran. */
interface Ran {
  readonly name: string
  readonly start: number
  readonly ran: Uint8Array
}
type Taken = readonly Ran[]

interface Summary {
  readonly functions: number
  readonly ofFunctions: number
  readonly lines: number
  readonly ofLines: number
}

const ROOT = new URL('../../../src/', import.meta.url).href

export class Coverage {
  readonly #session = new Session()
  readonly #wanted: (url: string) => boolean
  /** By place in the sources. */
  #known = new Map<string, Uint8Array>()
  #before: Map<string, Uint8Array> | undefined
  /** By file, where each function begins and ends. */
  readonly #functions = new Map<string, Map<number, number>>()
  readonly #scratch = new Uint8Array(1_048_576)

  /**
   * To be made before the sources are loaded.
   *
   * @param files beginnings of paths, from `src/` on
   */
  constructor(files: readonly string[]) {
    const starts = files.map((file) => new URL(file, ROOT).href)
    this.#wanted = (url) => starts.some((start) => url.startsWith(start))
    this.#session.connect()
    this.#ask('Profiler.enable')
    this.#ask('Profiler.startPreciseCoverage', { callCount: false, detailed: true })
  }

  /** What ran since the last time. */
  take(): Taken {
    return this.#scripts().flatMap(({ url, functions }) =>
      functions.flatMap(({ ranges }) => this.#ranOf(url, ranges)),
    )
  }

  /** Whether there is a block among these that never ran before. */
  isFresh(taken: Taken): boolean {
    return taken.some(({ name, ran }) => {
      const known = this.#known.get(name)
      return known === undefined || ran.some((one, at) => one > (known[at] ?? 0))
    })
  }

  learn(taken: Taken): void {
    for (const { name, ran } of taken) {
      const known = this.#known.get(name) ?? new Uint8Array(ran.length)
      for (const [at, one] of ran.entries()) if (one === 1) known[at] = 1
      this.#known.set(name, known)
    }
  }

  /** Forgets what is known, until {@link resume}. */
  begin(): void {
    this.#before = this.#known
    this.#known = new Map()
  }

  /** Knows again what it knew at {@link begin}. */
  resume(): void {
    this.#known = this.#before ?? this.#known
  }

  /** What is known of the files by now; what runs while they are loaded counts for nothing. */
  summary(textOf: (path: string) => string): Summary {
    const all = [...this.#functions].map(([url, functions]) =>
      this.#summaryOf(url, functions, textOf(fileURLToPath(url))),
    )
    const sum = (of: (one: Summary) => number) => all.reduce((total, one) => total + of(one), 0)
    return {
      functions: sum(({ functions }) => functions),
      ofFunctions: sum(({ ofFunctions }) => ofFunctions),
      lines: sum(({ lines }) => lines),
      ofLines: sum(({ ofLines }) => ofLines),
    }
  }

  close(): void {
    this.#session.disconnect()
  }

  #summaryOf(url: string, functions: ReadonlyMap<number, number>, text: string): Summary {
    const marks = new Uint8Array(text.length)
    let ran = 0
    // The outer ones come first, and what is inside of them is marked anew.
    const inner = [...functions].sort(([a], [b]) => a - b)
    for (const [start, end] of inner) {
      const known = this.#known.get(nameOf(url, start, end))
      if (known !== undefined) ran += 1
      for (let at = start; at < end; at += 1) marks[at] = 1 + (known?.[at - start] ?? 0)
    }
    const lines = linesOf(text, marks)
    return {
      functions: ran,
      ofFunctions: inner.length,
      lines: lines.filter((line) => line).length,
      ofLines: lines.length,
    }
  }

  #ranOf(url: string, ranges: readonly Range[]): Ran[] {
    const [whole] = ranges
    if (whole === undefined || whole.count === 0) return []
    const { startOffset: start, endOffset: end } = whole
    const ran = this.#scratch.subarray(0, end - start)
    for (const range of ranges) {
      ran.fill(range.count > 0 ? 1 : 0, range.startOffset - start, range.endOffset - start)
    }
    return [{ name: nameOf(url, start, end), start, ran: ran.slice() }]
  }

  #scripts(): Script[] {
    const { result } = this.#ask('Profiler.takePreciseCoverage') as { readonly result: Script[] }
    const scripts = result.filter(({ url }) => this.#wanted(url))
    for (const script of scripts) this.#note(script)
    return scripts
  }

  /** The first time, also functions that never ran are named; the file itself is one. */
  #note({ url, functions }: Script): void {
    const known = this.#functions.get(url) ?? new Map<number, number>()
    this.#functions.set(url, known)
    for (const { functionName, ranges } of functions) {
      const [whole] = ranges
      const isFile = functionName === '' && whole?.startOffset === 0
      if (whole !== undefined && !isFile) known.set(whole.startOffset, whole.endOffset)
    }
  }

  /** Answers at once, since the inspector is in this thread. */
  #ask(method: string, parameters: object = {}): unknown {
    let answer: unknown
    this.#session.post(method, parameters, (error, found) => {
      if (error !== null) throw error
      answer = found
    })
    return answer
  }
}

function nameOf(url: string, start: number, end: number): string {
  return `${url}:${start}:${end}`
}

/** For each line with code inside a function, whether all of it ran. */
function linesOf(text: string, marks: Uint8Array): boolean[] {
  const found: boolean[] = []
  let start = 0
  for (const line of text.split('\n')) {
    const from = start + line.length - line.trimStart().length
    const own = marks.subarray(from, start + line.trimEnd().length)
    start += line.length + 1
    if (own.length > 0 && !/^\s*(?:\/\/|\/?\*)/.test(line) && own.includes(1) !== own.includes(2)) {
      found.push(own.includes(2))
    } else if (own.includes(1)) found.push(false)
  }
  return found
}
