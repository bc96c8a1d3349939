/** A client for the tests of servers, independent of the product's own client. @module */

import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'

export interface Ask {
  readonly method?: string
  readonly token?: string | undefined
  readonly body?: unknown
  /** In place of `body`, as it is. */
  readonly raw?: string
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly timeoutMs?: number
}

export interface Answer {
  /** 0 without a whole answer. */
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** Undefined for a body that is no JSON. */
  readonly json: unknown
  /** A system code where there was no whole answer. */
  readonly failed: string | undefined
}

/** @param path below `/v1/` */
export function ask(address: string, path: string, options: Ask = {}): Promise<Answer> {
  const { method = 'GET', token, body, raw, headers = {}, timeoutMs = 8_000 } = options
  return new Promise((resolve) => {
    const fail = (error: NodeJS.ErrnoException) =>
      resolve({ status: 0, headers: {}, text: '', json: undefined, failed: error.code ?? 'none' })
    const outgoing = request(`${address}/v1/${path}`, {
      method,
      agent: false,
      timeout: timeoutMs,
      headers: {
        'x-vault-request': 'true',
        ...(token === undefined ? {} : { 'x-vault-token': token }),
        ...headers,
      },
    })
    outgoing.on('response', (incoming) => {
      incoming.on('error', fail)
      read(incoming).then(resolve, fail)
    })
    outgoing.on('timeout', () => {
      outgoing.destroy(Object.assign(new Error('No answer in time'), { code: 'ETIMEDOUT' }))
    })
    outgoing.on('error', fail)
    outgoing.end(raw ?? (body === undefined ? undefined : JSON.stringify(body)))
  })
}

async function read(incoming: IncomingMessage): Promise<Answer> {
  let text = ''
  incoming.setEncoding('utf8')
  for await (const chunk of incoming) text += String(chunk)
  const { statusCode = 0, headers } = incoming
  return { status: statusCode, headers, text, json: parsed(text), failed: undefined }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
