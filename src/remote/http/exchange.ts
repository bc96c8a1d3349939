/**
 * One request and its answer over one of undici's dispatchers: no redirects, and an
 * end to what is read. undici's `fetch` on top of the same dispatcher took another
 * half millisecond of processor time a request, which was most of what an Encrypt cost.
 *
 * @module
 */

import type { Buffer } from 'node:buffer'
import type { Dispatcher } from 'undici'
import { KmsError } from '../../base/errors.ts'

export interface Exchange {
  readonly origin: string
  readonly path: string
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  /** Its reason is what the exchange rejects with. */
  readonly signal: AbortSignal
}

interface RawAnswer {
  readonly status: number
  /** One header by its name in lower case; the first where it comes more than once. */
  readonly header: (name: string) => string | undefined
  readonly text: string
}

/** A batch of 128 items is about 40 kB; nothing that is asked for comes near this. */
const MAX_ANSWER_BYTES = 4_194_304

/** Rejects with the signal's reason, a KmsError for an endless answer, or undici's own error. */
export function exchange(dispatcher: Dispatcher, request: Exchange): Promise<RawAnswer> {
  const { origin, path, method, headers, body, signal } = request
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const reader = new AnswerReader()
    const abort = () => {
      // One that has not started yet is told so when it does.
      reader.controller?.abort(signal.reason)
      reject(signal.reason)
    }
    signal.addEventListener('abort', abort, { once: true })
    const ended = () => signal.removeEventListener('abort', abort)
    dispatcher.dispatch(
      { origin, path, method, headers, body: body ?? null },
      {
        onRequestStart(controller) {
          reader.controller = controller
          if (signal.aborted) controller.abort(signal.reason)
        },
        onResponseStart(_controller, status, answered) {
          reader.start(status, answered)
        },
        onResponseData(controller, chunk) {
          if (!reader.take(chunk)) controller.abort(tooLong())
        },
        onResponseEnd() {
          ended()
          resolve(reader.answer())
        },
        onResponseError(_controller, error) {
          ended()
          reject(error)
        },
      },
    )
  })
}

class AnswerReader {
  controller: Dispatcher.DispatchController | undefined
  #status = 0
  #headers: Readonly<Record<string, string | string[] | undefined>> = {}
  readonly #chunks: Buffer[] = []
  #bytes = 0

  start(status: number, headers: Readonly<Record<string, string | string[] | undefined>>): void {
    this.#status = status
    this.#headers = headers
  }

  /** False when the answer is longer than anything that was asked for. */
  take(chunk: Buffer): boolean {
    this.#bytes += chunk.byteLength
    if (this.#bytes > MAX_ANSWER_BYTES) return false
    this.#chunks.push(chunk)
    return true
  }

  answer(): RawAnswer {
    const headers = this.#headers
    return {
      status: this.#status,
      header(name) {
        const value = headers[name]
        return typeof value === 'string' ? value : value?.[0]
      },
      text: textOf(this.#chunks),
    }
  }
}

function textOf(chunks: readonly Buffer[]): string {
  const [first] = chunks
  if (first === undefined) return ''
  if (chunks.length === 1) return first.toString('utf8')
  const decoder = new TextDecoder()
  const parts = chunks.map((chunk) => decoder.decode(chunk, { stream: true }))
  return parts.join('') + decoder.decode()
}

function tooLong(): KmsError {
  return new KmsError(`Answer is longer than ${MAX_ANSWER_BYTES} bytes`, { code: 'protocol' })
}
