/**
 * Time that moves on by itself, but only when nothing else can: while the program waits for an
 * answer, a file or a key, it stands still. So an input that makes the program wait for minutes
 * takes no time, and one that makes it wait for ever is found.
 *
 * @module
 */

import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import process from 'node:process'
import { setImmediate } from 'node:timers'
import { setImmediate as turn } from 'node:timers/promises'
import type { Clock } from '../../../src/base/clock.ts'

/** Turns in which nothing happened, until time moves. */
const QUIET_TURNS = 4
/** So much time passes for one input at most. */
const MOST_MS = 600_000
const START = 1_800_000_000_000

let signing = 0

/** Keys that sign are counted: the runtime tells of no other way that they are at work. */
function countSigning(): void {
  for (const name of ['sign', 'digest', 'importKey', 'verify', 'deriveBits'] as const) {
    const method = SubtleCrypto.prototype[name] as (...args: unknown[]) => Promise<unknown>
    Object.assign(SubtleCrypto.prototype, {
      [name](this: SubtleCrypto, ...args: unknown[]) {
        signing += 1
        return method.apply(this, args).finally(() => {
          signing -= 1
        })
      },
    })
  }
}

type Callback = (error: Error | null, result?: unknown) => void

/** The same for what checks a signature beside the event loop. */
function countChecking(): void {
  const plain = crypto.verify as (...args: unknown[]) => unknown
  const counted = (...args: unknown[]) => {
    const told = args.at(-1)
    if (typeof told !== 'function') return plain(...args)
    signing += 1
    const done: Callback = (error, result) => {
      signing -= 1
      told(error, result)
    }
    return plain(...args.slice(0, -1), done)
  }
  Object.assign(crypto, { verify: counted })
  syncBuiltinESMExports()
}

let counts = false

export class DrivenClock implements Clock {
  #now = 0
  readonly #timers = new Set<{ readonly at: number; readonly run: () => void }>()
  #activity = 0

  constructor() {
    if (!counts) {
      countSigning()
      countChecking()
    }
    counts = true
  }

  now(): number {
    return START + this.#now
  }

  monotonic(): number {
    return this.#now
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#now + Math.max(ms, 0), run }
    this.#timers.add(timer)
    this.#activity += 1
    return () => this.#timers.delete(timer)
  }

  soon(run: () => void): void {
    this.#activity += 1
    setImmediate(run)
  }

  /** Settles as the promise does, whatever that waits for. */
  async drive<T>(promise: Promise<T>): Promise<T> {
    let settled = false
    const done = () => {
      settled = true
    }
    promise.then(done, done)
    const end = this.#now + MOST_MS
    for (let quiet = 0; !settled; ) {
      const before = this.#activity
      await turn()
      quiet = before === this.#activity && !isAtWork() ? quiet + 1 : 0
      if (quiet < QUIET_TURNS) continue
      this.#moveOn(end)
      quiet = 0
    }
    return await promise
  }

  #moveOn(end: number): void {
    const [next] = [...this.#timers].sort((a, b) => a.at - b.at)
    if (next === undefined) throw new TypeError('Waits for nothing that could come')
    if (next.at > end) throw new TypeError(`Waits for more than ${MOST_MS} ms`)
    this.#timers.delete(next)
    this.#now = Math.max(this.#now, next.at)
    next.run()
  }
}

function isAtWork(): boolean {
  return signing > 0 || process.getActiveResourcesInfo().includes('FSReqPromise')
}
