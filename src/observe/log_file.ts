/**
 * Standard error as a file for lines, written beside the event loop: a reader that is stuck holds up
 * no request, fills no memory, and keeps no process from its end.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { write, writeSync } from 'node:fs'
import process from 'node:process'
import { systemCodeOf } from '../base/errors.ts'

export interface LogOutput {
  write(line: string): void
  /** Called with the number of lines that nobody took. */
  onDrop?(listener: (lines: number) => void): void
}

interface LogFile extends LogOutput {
  /** Writes what is still waiting, unless nobody takes it within a second. The last call. */
  close(): Promise<void>
}

const STANDARD_ERROR = 2
/** So much waits for a reader that is stuck; what comes after it is dropped rather than kept. */
const MAX_WAITING_BYTES = 4_194_304
/** The most that one write takes: what a crash finds in the hands of a thread is lost. */
const WRITE_BYTES = 65_536
const FAREWELL_MS = 1_000
/** Lines of one moment are written together: each write costs a switch to another thread. */
const GATHER_MS = 10
/** How often a reader that has no room is tried again. */
const FULL_MS = 50
/** The reader has no room now, and may have again. */
const FULL = new Set(['EAGAIN', 'EBUSY', 'EINTR'])

export function standardError(): LogFile {
  return new LineFile(STANDARD_ERROR)
}

class LineFile implements LogFile {
  readonly #fd: number
  #lines: string[] = []
  /** Of what waits, and of what is being written. */
  #bytes = 0
  readonly #waiting: Buffer[] = []
  /** Undefined where nothing is being written; `asked` while a thread has it. */
  #current: { bytes: Buffer; asked: boolean } | undefined
  /** Until a reader without room is tried again. */
  #pausing = false
  #dropped: (lines: number) => void = () => undefined
  #closed: (() => void) | undefined

  constructor(fd: number) {
    this.#fd = fd
    process.on('exit', this.#flushAtExit)
  }

  write(line: string): void {
    if (this.#closed !== undefined) return
    if (this.#lines.push(line) === 1) setTimeout(this.#gather, GATHER_MS)
  }

  onDrop(listener: (lines: number) => void): void {
    this.#dropped = listener
  }

  async close(): Promise<void> {
    this.#gather()
    process.off('exit', this.#flushAtExit)
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#closed = resolve
    if (this.#current === undefined) return
    // A reader that is stuck would be waited for without an end.
    const timer = setTimeout(resolve, FAREWELL_MS)
    await promise
    clearTimeout(timer)
  }

  readonly #gather = (): void => {
    this.#collect()
    if (this.#current === undefined) this.#next()
    else if (!this.#current.asked && !this.#pausing) this.#ask()
  }

  #collect(): void {
    if (this.#lines.length === 0) return
    const [lines, text] = [this.#lines.length, this.#lines.join('')]
    this.#lines = []
    const bytes = Buffer.from(text)
    if (this.#bytes + bytes.length > MAX_WAITING_BYTES) {
      this.#dropped(lines)
      return
    }
    this.#bytes += bytes.length
    this.#waiting.push(bytes)
  }

  #next(): void {
    const bytes = this.#waiting.shift()
    if (bytes === undefined) {
      this.#current = undefined
      this.#closed?.()
      return
    }
    this.#current = { bytes, asked: false }
    this.#ask()
  }

  #ask(): void {
    const current = this.#current
    if (current === undefined) return
    current.asked = true
    write(
      this.#fd,
      current.bytes,
      0,
      Math.min(current.bytes.length, WRITE_BYTES),
      null,
      (error, taken) => {
        current.asked = false
        if (error === null) this.#took(current, taken)
        else this.#failed(error)
      },
    )
  }

  #took(current: { bytes: Buffer }, taken: number): void {
    this.#bytes -= taken
    current.bytes = current.bytes.subarray(taken)
    if (current.bytes.length > 0) this.#ask()
    else this.#next()
  }

  /**
   * What nobody reads any more, or a full disk has no room for, is tried again with the next line: no
   * reason to stop serving.
   */
  #failed(error: Error): void {
    if (!FULL.has(systemCodeOf(error) ?? '')) {
      this.#closed?.()
      return
    }
    this.#pausing = true
    setTimeout(() => {
      this.#pausing = false
      this.#ask()
    }, FULL_MS)
  }

  /** Whatever ends the process: the last lines say why. Without an event loop, and not for long. */
  readonly #flushAtExit = (): void => {
    this.#collect()
    const current = this.#current
    // Nobody knows how much of it a thread has written.
    const left =
      current === undefined || current.asked ? this.#waiting : [current.bytes, ...this.#waiting]
    const until = performance.now() + FAREWELL_MS
    for (let bytes = Buffer.concat(left); bytes.length > 0; ) {
      try {
        bytes = bytes.subarray(writeSync(this.#fd, bytes, 0, Math.min(bytes.length, WRITE_BYTES)))
      } catch (error) {
        if (!FULL.has(systemCodeOf(error) ?? '') || performance.now() > until) return
        pause(FULL_MS)
      }
    }
  }
}

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
