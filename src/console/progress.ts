/**
 * How far a long command has come: one line of the terminal that disappears at the end, or, where
 * there is no terminal, a line now and then.
 *
 * @module
 */

import type { Io } from './io.ts'

const EVERY_MS = 100
const LINE_EVERY_MS = 30_000
const CLEARED = '\r\u001b[K'
const BAR_CHARACTERS = 24

export class Progress {
  readonly #io: Io
  readonly #total: number
  readonly #what: string
  readonly #now: () => number
  readonly #start: number
  #done = 0
  #shown = false
  #next: number

  /**
   * @param what is counted, in the plural
   * @param now a time in milliseconds that only grows
   */
  constructor(io: Io, total: number, what = 'keys', now = () => performance.now()) {
    this.#io = io
    this.#total = total
    this.#what = what
    this.#now = now
    this.#start = now()
    this.#next = io.showsProgress ? 0 : this.#start + LINE_EVERY_MS
    io.stop.addEventListener('abort', () => this.clear(), { once: true })
  }

  step(count: number): void {
    this.#done += count
    const now = this.#now()
    if (this.#io.stop.aborted || now < this.#next) return
    const state = [this.#done, this.#total, this.#what, now - this.#start] as const
    if (!this.#io.showsProgress) {
      this.#next = now + LINE_EVERY_MS
      this.#io.err(`trousseau: ${progressText(...state)}\n`)
      return
    }
    this.#next = now + EVERY_MS
    this.#shown = true
    this.#io.err(`${CLEARED}${progressLine(...state)}`)
  }

  /** Called before anything else is printed, and at the end. */
  clear(): void {
    if (this.#shown) this.#io.err(CLEARED)
    this.#shown = false
  }
}

/** The line with a progress bar before the text. */
export function progressLine(done: number, total: number, what: string, tookMs: number): string {
  const part = Math.min(done / Math.max(total, 1), 1)
  const bar = '#'.repeat(Math.round(part * BAR_CHARACTERS)).padEnd(BAR_CHARACTERS, '.')
  return `[${bar}] ${progressText(done, total, what, tookMs)}`
}

/** The remaining time is estimated from the time that the work took so far. */
function progressText(done: number, total: number, what: string, tookMs: number): string {
  const rate = `${grouped(Math.round((done / Math.max(tookMs, 1)) * 1_000))}/s`
  const left = done === 0 ? '' : `, ${seconds((tookMs / done) * Math.max(total - done, 0))} left`
  return `${grouped(done)} of ${grouped(total)} ${what}, ${rate}${left}`
}

/** `1 object`, `12,345 objects` */
export function counted(count: number, what: string): string {
  return `${grouped(count)} ${what}${count === 1 ? '' : 's'}`
}

/** `12,345` */
export function grouped(count: number): string {
  return count.toLocaleString('en-US')
}

function seconds(ms: number): string {
  const whole = Math.ceil(ms / 1_000)
  if (whole < 60) return `${whole} s`
  return `${Math.floor(whole / 60)} min ${whole % 60} s`
}
