/**
 * A network of which an input says what it answers: in place of connections, the HTTP client of the
 * sources gets a dispatcher that plays answers. All above it is the real thing.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import type { Dispatcher } from 'undici'
import type { Connections } from '../../../src/remote/http/connections.ts'
import { Transport } from '../../../src/remote/http/transport.ts'

/** One answer of a recording, and of what a mutation made of it: anything may be missing or odd. */
export interface PlayedAnswer {
  /** Which request it is for. */
  readonly at?: unknown
  readonly status?: unknown
  readonly headers?: unknown
  /** Text as it is, and anything else as JSON. */
  readonly body?: unknown
  /** A code of the system instead of an answer; `silence` for none at all. */
  readonly error?: unknown
}

/** Nothing that is asked once takes so many requests. */
const MOST_REQUESTS = 400
const PAGE = { status: 404, body: '<html>nothing here</html>' }
const INVALID = /[^\t\x20-\x7e\x80-\xff]/

type Request = Dispatcher.DispatchOptions
type Handler = Dispatcher.DispatchHandler

const connect = Transport.prototype.connections

/** Until it is disposed of, every connection is played; `answers` may be another list for each input. */
export class PlayedHttp implements Disposable {
  answers: readonly PlayedAnswer[] = []
  #used = new Set<PlayedAnswer>()
  #requests = 0
  readonly #kept = new WeakMap<Transport, Connections>()

  constructor() {
    const connectionsOf = (transport: Transport) => this.#connectionsOf(transport)
    Transport.prototype.connections = function connections() {
      return Promise.resolve(connectionsOf(this))
    }
  }

  play(answers: readonly PlayedAnswer[]): void {
    this.answers = answers
    this.#used = new Set()
    this.#requests = 0
  }

  /** Throws where the program asked without an end. */
  check(): void {
    if (this.#requests > MOST_REQUESTS) throw new TypeError(`Made ${this.#requests} requests`)
  }

  [Symbol.dispose](): void {
    Transport.prototype.connections = connect
  }

  #connectionsOf(transport: Transport): Connections {
    const known = this.#kept.get(transport)
    if (known !== undefined) return known
    const dispatch = (request: Request, handler: Handler) => this.#dispatch(request, handler)
    const dispatcher = { dispatch } as unknown as Dispatcher
    const made = { dispatcher, proven: false, renew: () => this.#kept.delete(transport) }
    this.#kept.set(transport, made)
    return made
  }

  #dispatch(request: Request, handler: Handler): boolean {
    checkRequest(request)
    this.#requests += 1
    const answer =
      this.#requests > MOST_REQUESTS ? { error: 'ECONNREFUSED' } : this.#answerTo(request)
    let aborted = false
    const controller = {
      abort(reason: Error) {
        if (aborted) return
        aborted = true
        handler.onResponseError?.(controller as never, reason)
      },
    }
    handler.onRequestStart?.(controller as never, {})
    queueMicrotask(() => {
      if (!aborted) deliver(answer, controller as never, handler, () => aborted)
    })
    return true
  }

  /** The first that was not used, of those for this request; the last of them again and again. */
  #answerTo(request: Request): PlayedAnswer {
    const at = nameOf(request)
    const fitting = this.answers.filter((answer) => answer?.at === at)
    const all =
      fitting.length > 0 ? fitting : this.answers.filter((answer) => typeof answer?.at !== 'string')
    const found = all.find((answer) => !this.#used.has(answer)) ?? all.at(-1) ?? PAGE
    this.#used.add(found)
    return found
  }
}

/** The method and the path, and what AWS puts into a header or the body in place of one. */
function nameOf({ method, path, headers, body }: Request): string {
  const target = new Headers(headers as Record<string, string>).get('x-amz-target')
  const action =
    typeof body === 'string' ? /^Action=(\w+)|&Action=(\w+)/.exec(body)?.[0] : undefined
  return [method, path.replace(/\?.*/s, ''), target ?? action].filter(Boolean).join(' ')
}

/** What undici would not send. */
function checkRequest({ path, headers }: Request): void {
  const values = Object.values(headers as Record<string, string>)
  if (values.some((value) => INVALID.test(value))) throw invalid('header')
  if (!path.startsWith('/') || /[^\x21-\xff]/.test(path)) throw invalid('path')
}

function invalid(what: string): Error {
  return Object.assign(new Error(`invalid ${what}`), { code: 'UND_ERR_INVALID_ARG' })
}

function deliver(
  { status, headers, body, error }: PlayedAnswer,
  controller: Dispatcher.DispatchController,
  handler: Handler,
  isAborted: () => boolean,
): void {
  if (error === 'silence') return
  if (typeof error === 'string') {
    const failure = Object.assign(new Error('Seeded failure'), { code: error })
    handler.onResponseError?.(controller, failure)
    return
  }
  handler.onResponseStart?.(controller, statusOf(status), headersOf(headers), '')
  for (const part of partsOf(body)) {
    if (!isAborted()) handler.onResponseData?.(controller, part)
  }
  if (!isAborted()) handler.onResponseEnd?.(controller, {})
}

function statusOf(status: unknown): number {
  return typeof status === 'number' && status >= 100 && status < 1_000 ? Math.floor(status) : 200
}

/** A long one comes in two pieces. */
function partsOf(body: unknown): Buffer[] {
  const bytes = Buffer.from(typeof body === 'string' ? body : (JSON.stringify(body) ?? ''))
  const middle = bytes.length >>> 1
  return bytes.length > 100 ? [bytes.subarray(0, middle), bytes.subarray(middle)] : [bytes]
}

/** As a parser of HTTP gives them: names in lower case, values of text without line breaks. */
function headersOf(headers: unknown): Record<string, string> {
  if (typeof headers !== 'object' || headers === null) return {}
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name.toLowerCase(),
      (typeof value === 'string' ? value : (JSON.stringify(value) ?? '')).replaceAll(
        /[^\t\x20-\xff]/g,
        '',
      ),
    ]),
  )
}

/** What an honest service answers while `work` runs, over real connections. */
export async function recordedAnswers(work: () => Promise<unknown>): Promise<PlayedAnswer[]> {
  const answers: PlayedAnswer[] = []
  Transport.prototype.connections = async function connections(address) {
    const { dispatcher, ...rest } = await connect.call(this, address)
    const dispatch = (request: Request, handler: Handler) =>
      dispatcher.dispatch(request, recording(nameOf(request), handler, answers))
    return { ...rest, dispatcher: { dispatch } as unknown as Dispatcher }
  }
  try {
    await work()
    return answers
  } finally {
    Transport.prototype.connections = connect
  }
}

function recording(at: string, handler: Handler, answers: PlayedAnswer[]): Handler {
  let head = { status: 0, headers: {} as unknown }
  let text = ''
  return {
    onRequestStart: (...args) => handler.onRequestStart?.(...args),
    onResponseStart(...args) {
      head = { status: args[1], headers: args[2] }
      handler.onResponseStart?.(...args)
    },
    onResponseData(controller, chunk) {
      text += String(chunk)
      handler.onResponseData?.(controller, chunk)
    },
    onResponseEnd(...args) {
      answers.push({ at, status: head.status, headers: told(head.headers), body: bodyOf(text) })
      handler.onResponseEnd?.(...args)
    },
    onResponseError: (...args) => handler.onResponseError?.(...args),
  }
}

/** Without what is of the connection alone. */
function told(headers: unknown): unknown {
  const entries = Object.entries(Object(headers))
  return Object.fromEntries(
    entries.filter(
      ([name]) => !/^(?:connection|keep-alive|content-length|transfer-encoding)$/.test(name),
    ),
  )
}

function bodyOf(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'string' ? text : value
  } catch {
    return text
  }
}
