/**
 * The log: one line an event, as JSON for collectors or as text for terminals, in which foreign
 * text comes out escaped.
 *
 * @module
 */

import process from 'node:process'
import { destination } from 'pino'
import type { CountedEvent, EventSink, KmsEvent } from '../base/events.ts'
import { UNPRINTABLE } from '../base/unprintable.ts'
import { FloodGate } from './flood_gate.ts'
import { type Entry, entryOf, healthEntry, LOG_LEVELS, type LogLevel } from './log_entries.ts'

interface LogOutput {
  write(line: string): void
  /** Called with the number of lines that nobody took. */
  onDrop?(listener: (lines: number) => void): void
}

interface LogFile extends LogOutput {
  /** Writes what is still waiting, unless nobody takes it within a second. The last call. */
  close(): Promise<void>
}

/** So much waits for a reader that is stuck; what comes after it is dropped rather than kept. */
const MAX_WAITING_BYTES = 4_194_304
const FAREWELL_MS = 1_000
/** Lines of one moment are written together. */
const GATHER_MS = 10

/** Standard error, written beside the event loop, so that a reader that is stuck holds up nothing. */
export function standardError(): LogFile {
  const file = destination({ fd: 2, sync: false, minLength: 0, maxLength: MAX_WAITING_BYTES })
  // Nobody reads any more, or the disk is full: no reason to stop serving.
  file.on('error', () => undefined)
  const { promise: closed, resolve } = Promise.withResolvers<void>()
  file.on('close', resolve)
  const lines = new LineGatherer(file)
  let closing = false
  // Whatever ends the process; the file writes what it has by itself.
  process.on('exit', lines.flush)
  return {
    write(line) {
      if (!closing) lines.add(line)
    },
    onDrop(listener) {
      file.on('drop', (text: string) => listener(text.split('\n').length - 1))
    },
    async close() {
      closing = true
      process.off('exit', lines.flush)
      lines.flush()
      // A flush that waits for a reader that is stuck, or tries one that is gone, would never end.
      const timer = setTimeout(resolve, FAREWELL_MS)
      file.end()
      await closed
      clearTimeout(timer)
      file.destroy()
    },
  }
}

/** Each write costs a switch to another thread: under load more than the request that is logged. */
class LineGatherer {
  readonly #file: LogOutput
  #lines: string[] = []

  constructor(file: LogOutput) {
    this.#file = file
  }

  add(line: string): void {
    if (this.#lines.push(line) === 1) setTimeout(this.flush, GATHER_MS)
  }

  readonly flush = (): void => {
    if (this.#lines.length === 0) return
    const text = this.#lines.join('')
    this.#lines = []
    this.#file.write(text)
  }
}

interface LoggerOptions {
  readonly level: LogLevel
  readonly format: 'json' | 'text'
  /** Takes one whole line with its line feed. */
  readonly output: LogOutput
  /** Milliseconds that only grow; for holding back repetitions. */
  readonly monotonic: () => number
}

export interface Logger extends EventSink {
  /** From now on; undefined for the level it was made with. */
  setLevel(level: LogLevel | undefined): void
  /** Told of lines that are held back or dropped. */
  tellLosses(events: EventSink): void
}

export function createLogger({ level, format, output, monotonic }: LoggerOptions): Logger {
  const toLine = format === 'json' ? jsonOf : textOf
  let least = LOG_LEVELS.indexOf(level)
  const gate = new FloodGate(monotonic)
  /** By endpoint. */
  const saidOfHealth = new Map<string | undefined, string>()
  const ofHealth = (event: Extract<KmsEvent, { type: 'health' }>): Entry => {
    const entry = healthEntry(event, saidOfHealth.get(event.endpoint))
    saidOfHealth.set(event.endpoint, entry.message)
    return entry
  }
  let losses: EventSink | undefined
  /** Undefined for one that is held back itself. */
  const heldBefore = ({ floodKey }: Entry): number | undefined => {
    const held = floodKey === undefined ? 0 : gate.pass(floodKey)
    if (held === undefined) losses?.emit({ type: 'log_loss', fate: 'held', lines: 1 })
    return held
  }
  return {
    setLevel(next = level) {
      least = LOG_LEVELS.indexOf(next)
    },
    tellLosses(events) {
      losses = events
      output.onDrop?.((lines) => events.emit({ type: 'log_loss', fate: 'dropped', lines }))
    },
    emit(event) {
      if (!isLogged(event)) return
      const entry = event.type === 'health' ? ofHealth(event) : entryOf(event)
      if (LOG_LEVELS.indexOf(entry.level) < least) return
      const suppressed = heldBefore(entry)
      if (suppressed === undefined) return
      output.write(toLine(entry, suppressed > 0 ? suppressed : undefined))
    },
  }
}

const COUNTED: readonly string[] = [
  'log_loss',
  'trace_spans',
  'audit_records',
] as const satisfies CountedEvent[]

function isLogged(event: KmsEvent): event is Exclude<KmsEvent, { type: CountedEvent }> {
  return !COUNTED.includes(event.type)
}

/** Fields that are undefined are left out. */
function jsonOf({ level, event, fields, message }: Entry, suppressed: number | undefined): string {
  const time = new Date().toISOString()
  return `${JSON.stringify({ level, time, event, ...fields, suppressed, message })}\n`
}

/** `12:00:00.000 WARN  request  Encrypt failed: … code=unavailable duration_ms=2.1` */
function textOf({ level, event, fields, message }: Entry, suppressed: number | undefined): string {
  const rest = Object.entries({ ...fields, suppressed }).flatMap(([key, value]) =>
    value === undefined ? [] : `${key}=${JSON.stringify(value)}`,
  )
  const clock = new Date().toISOString().slice(11, 23)
  const head = `${clock} ${level.toUpperCase().padEnd(5)} ${event}  ${message}`
  return `${escaped([head, ...rest].join(' '))}\n`
}

/** Foreign text writes no line and no colour of its own. */
function escaped(text: string): string {
  return text.replaceAll(UNPRINTABLE, (character) => {
    return `\\u{${character.codePointAt(0)?.toString(16)}}`
  })
}
