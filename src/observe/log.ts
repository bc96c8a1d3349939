/**
 * The log: one line an event, as JSON for collectors or as text for terminals.
 * Only the fields named here are written, so nothing secret can slip in with an
 * object; foreign text comes out escaped.
 *
 * @module
 */

import process from 'node:process'
import { destination } from 'pino'
import { type KmsError, toKmsError } from '../base/errors.ts'
import {
  type EventSink,
  type HealthState,
  type KmsEvent,
  ONLY_ENDPOINT,
  type RuleOutcome,
} from '../base/events.ts'
import { FloodGate } from './flood_gate.ts'

const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

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
const NAME = /^[a-z]\w{0,63}$/i
/** Control, format and surrogate characters and line separators: what moves, colours or reverses text. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

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

type Fields = Readonly<Record<string, string | number | boolean | undefined>>

interface Entry {
  readonly level: LogLevel
  readonly event: string
  readonly message: string
  readonly fields: Fields
  /** Entries of one key beyond a few in ten seconds are counted and left out. */
  readonly floodKey?: string
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
      if (event.type === 'log_loss') return
      const entry = event.type === 'health' ? ofHealth(event) : entryOf(event)
      if (LOG_LEVELS.indexOf(entry.level) < least) return
      const suppressed = heldBefore(entry)
      if (suppressed === undefined) return
      output.write(toLine(entry, suppressed > 0 ? suppressed : undefined))
    },
  }
}

/** Fields that are undefined are left out. */
function jsonOf({ level, event, fields, message }: Entry, suppressed: number | undefined): string {
  const time = new Date().toISOString()
  return `${JSON.stringify({ level, time, event, ...fields, suppressed, message })}\n`
}

function entryOf(event: Exclude<KmsEvent, { type: 'health' | 'log_loss' }>): Entry {
  switch (event.type) {
    case 'request':
      return requestEntry(event)
    case 'provider_call':
      return providerCallEntry(event)
    case 'coalesced':
      return {
        level: 'debug',
        event: 'coalesced',
        message: `An unwrap at provider "${event.provider}" serves an equal one too`,
        fields: { provider: event.provider },
      }
    case 'hedge':
      return hedgeEntry(event)
    case 'key_id':
      return {
        level: 'info',
        event: 'key_id',
        message: event.previous === undefined ? 'Key id is known' : 'Key id changed',
        fields: {
          endpoint: shownEndpoint(event.endpoint),
          key_id: event.keyId,
          previous: event.previous,
        },
      }
    case 'token':
      return tokenEntry(event)
    case 'certificate':
      return certificateEntry(event)
    case 'policy':
      return policyEntry(event)
    case 'policy_state':
      return policyStateEntry(event)
    case 'notice':
      return {
        level: event.level,
        event: event.what,
        message: event.message,
        fields: { ...event.fields, ...errorFields(event.error) },
        floodKey: `notice ${event.what} ${event.message}`,
      }
  }
}

/** Where there is one endpoint its name tells nothing. */
function shownEndpoint(name: string | undefined): string | undefined {
  return name === ONLY_ENDPOINT ? undefined : name
}

function requestEntry(event: Extract<KmsEvent, { type: 'request' }>): Entry {
  const { endpoint, api, method, uid, code, durationMs, keyIdHash, error } = event
  const fields = {
    endpoint: shownEndpoint(endpoint),
    api,
    method,
    uid,
    code,
    duration_ms: rounded(durationMs),
    key_id_hash: keyIdHash,
    ...causeFields(error),
  }
  if (error === undefined) {
    const level = method === 'Status' ? 'debug' : 'info'
    return { level, event: 'request', message: `${method} answered`, fields }
  }
  return {
    level: code === 'internal' ? 'error' : 'warn',
    event: 'request',
    message: `${method} failed: ${error.message}`,
    fields,
    floodKey: `request ${endpoint} ${api} ${method} ${code} ${error.message}`,
  }
}

function providerCallEntry(event: Extract<KmsEvent, { type: 'provider_call' }>): Entry {
  const { provider, operation, items, code, durationMs } = event
  return {
    level: 'debug',
    event: 'provider_call',
    message: `Provider "${provider}" ${code === 'ok' ? 'answered' : 'failed'} ${operation}`,
    fields: { provider, operation, items, code, duration_ms: rounded(durationMs) },
  }
}

function hedgeEntry({ provider, reason }: Extract<KmsEvent, { type: 'hedge' }>): Entry {
  return {
    level: 'debug',
    event: 'hedge',
    message: `Provider "${provider}" is asked too, because one before it ${reason === 'slow' ? 'is slow' : 'failed'}`,
    fields: { provider, reason },
  }
}

/** Rounds that say nothing new are for debugging alone. */
function healthEntry(
  event: Extract<KmsEvent, { type: 'health' }>,
  said: string | undefined,
): Entry {
  const { endpoint, state, previous, keyId, error, holdLeftMs, why } = event
  const fields = {
    endpoint: shownEndpoint(endpoint),
    state,
    previous,
    key_id: keyId,
    why,
    hold_left_s: holdLeftMs === undefined ? undefined : Math.round(holdLeftMs / 1000),
    ...errorFields(error),
  }
  const message = healthMessage(state, error)
  const isNew = state !== previous || (error !== undefined && message !== said)
  return { level: isNew ? healthLevel(event) : 'debug', event: 'health', message, fields }
}

function healthMessage(state: HealthState, error: KmsError | undefined): string {
  if (error === undefined) return 'Providers are well'
  if (state === 'degraded') return `Written without a provider that is not well: ${error.message}`
  return state === 'held'
    ? `Key service is away, Status keeps the last key id: ${error.message}`
    : `Status refuses: ${error.message}`
}

function healthLevel({ state, error }: Extract<KmsEvent, { type: 'health' }>): LogLevel {
  if (error === undefined) return 'info'
  return state === 'failed' ? 'error' : 'warn'
}

function tokenEntry(event: Extract<KmsEvent, { type: 'token' }>): Entry {
  const { provider, action, method, code, ttlSeconds, error } = event
  const fields = { provider, action, method, code, ttl_s: ttlSeconds, ...causeFields(error) }
  const what = action === 'login' ? 'Login' : 'Renewal of the token'
  if (error === undefined) {
    return { level: 'info', event: 'token', message: `${what} succeeded`, fields }
  }
  const message = `${what} failed: ${error.message}`
  return { level: 'warn', event: 'token', message, fields, floodKey: message }
}

function certificateEntry(event: Extract<KmsEvent, { type: 'certificate' }>): Entry {
  const { provider, kind, notAfter, near } = event
  const day = new Date(notAfter).toISOString()
  const whose = { server: 'of the service', authority: 'of an authority', client: 'of this node' }
  return {
    level: near ? 'warn' : 'debug',
    event: 'certificate',
    message: `Certificate ${whose[kind]} at provider "${provider}" is good until ${day}${near ? ': renew it' : ''}`,
    fields: { provider, kind, not_after: day },
  }
}

const OUTCOMES: Readonly<Record<RuleOutcome, string>> = {
  refused: 'refuses',
  would_refuse: 'would refuse',
  undecided: 'cannot be decided and lets pass',
  waived: 'is waived and would refuse',
}

function policyEntry(event: Extract<KmsEvent, { type: 'policy' }>): Entry {
  const { endpoint, rule, mode, outcome, operation, provider, message: why } = event
  const message = `Rule "${rule}" ${OUTCOMES[outcome]} ${operation}: ${why}`
  const shown = shownEndpoint(endpoint)
  const fields = { endpoint: shown, rule, mode, outcome, operation, provider }
  return { level: 'warn', event: 'policy', message, fields, floodKey: `${provider} ${message}` }
}

function policyStateEntry({ rules, waiver }: Extract<KmsEvent, { type: 'policy_state' }>): Entry {
  const failing = rules.filter(({ state }) => state !== 'passes' && state !== 'by_request')
  const said = failing.map(
    ({ name, mode, state, message }) => `"${name}" (${mode}) ${state}: ${message}`,
  )
  const enforced = failing.some(({ mode, state }) => mode === 'enforce' && state !== 'waived')
  const message =
    failing.length === 0 ? 'All rules pass' : `Rules that do not pass: ${said.join('; ')}`
  const level = enforced ? 'error' : failing.length > 0 ? 'warn' : 'info'
  return {
    level,
    event: 'policy_state',
    message,
    fields: { rules: rules.length, waiver: waiver?.id },
  }
}

function errorFields(error: unknown): Fields {
  if (error === undefined) return {}
  const known = toKmsError(error)
  return { error_code: known.code, ...causeFields(known) }
}

/** Names and codes down the chain of causes; where it happened only of what is a fault of ours. */
function causeFields(known: KmsError | undefined): Fields {
  if (known === undefined) return {}
  const causes = causesOf(known)
  return {
    causes: causes.length === 0 ? undefined : causes.map(nameOf).join(' < '),
    stack: known.code === 'internal' ? stackOf(known) : undefined,
  }
}

function causesOf(error: Error): Error[] {
  const causes: Error[] = []
  for (let at: unknown = error.cause; at instanceof Error && causes.length < 5; at = at.cause) {
    causes.push(at)
  }
  return causes
}

/** Both texts come from whoever threw the error, so only what looks like a name is used. */
function nameOf(error: Error): string {
  const names = ['code' in error ? error.code : undefined, error.name]
  return (
    names.find((name): name is string => typeof name === 'string' && NAME.test(name)) ?? 'Error'
  )
}

/**
 * Where the error happened. Its message may quote anything, even lines that look like places in the
 * code, so only the lines after the message count.
 */
function stackOf(error: KmsError): string | undefined {
  const { message, stack } = error.cause instanceof Error ? error.cause : error
  const start = stack?.indexOf(message) ?? -1
  if (stack === undefined || start === -1) return undefined
  const places = stack.slice(start + message.length).split('\n')
  return places
    .map((line) => line.trim())
    .filter((line) => line.startsWith('at '))
    .join(' | ')
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000
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
