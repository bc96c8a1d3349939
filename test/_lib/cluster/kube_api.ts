// deno-lint-ignore-file no-explicit-any
/** A plain client of an API server for tests, independent of the product's own client. @module */

import { readFile } from 'node:fs/promises'
import { Agent, request } from 'undici'

const CERTIFICATE_END = '-----END CERTIFICATE-----\n'

interface KubeReply {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: tests look into whatever the API server answers
  readonly body: any
}

interface ConnectionLimits {
  readonly connections?: number
  /** To open one. */
  readonly connectMs?: number
}

export class KubeApi implements AsyncDisposable {
  readonly #address: string
  readonly #token: string
  readonly #caFile: string
  readonly #limits: ConnectionLimits
  #agent: Agent | undefined

  constructor(address: string, token: string, caFile: string, limits: ConnectionLimits = {}) {
    this.#address = address
    this.#token = token
    this.#caFile = caFile
    this.#limits = limits
  }

  /** The same client with so many requests under way at most. */
  withConnections(connections: number): KubeApi {
    return new KubeApi(this.#address, this.#token, this.#caFile, { connections })
  }

  /** Any status is a reply; rejects where there is none within `limitMs`. */
  async send(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    body?: unknown,
    { limitMs = 30_000, contentType = 'application/json' } = {},
  ): Promise<KubeReply> {
    const { statusCode, body: stream } = await request(`${this.#address}${path}`, {
      method,
      dispatcher: await this.#connected(),
      headers: { authorization: `Bearer ${this.#token}`, 'content-type': contentType },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(limitMs),
    })
    const text = await stream.text()
    return { status: statusCode, body: text.startsWith('{') ? JSON.parse(text) : text }
  }

  async #connected(): Promise<Agent> {
    if (this.#agent !== undefined) return this.#agent
    const ca = await readFile(this.#caFile, 'utf8')
    // An API server writes its own while it starts: an agent of half a file would trust nobody for ever.
    if (!ca.endsWith(CERTIFICATE_END)) throw new Error(`${this.#caFile} is not whole yet`)
    const { connections = 16, connectMs = 10_000 } = this.#limits
    this.#agent ??= new Agent({ connections, connect: { ca, timeout: connectMs } })
    return this.#agent
  }

  /** Throws unless the status is one of success. */
  async must(...args: Parameters<KubeApi['send']>): Promise<KubeReply['body']> {
    const { status, body } = await this.send(...args)
    if (status < 300) return body
    const said = typeof body === 'string' ? body : body.message
    throw new Error(`${args[0]} ${args[1]} answered ${status}: ${said}`)
  }

  async createSecret(name: string, data: Record<string, string>, namespace = 'default') {
    const metadata = { name, namespace }
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata, stringData: data }
    return await this.must('POST', `/api/v1/namespaces/${namespace}/secrets`, secret)
  }

  /** The Secret's data, decoded. */
  async readSecret(name: string, namespace = 'default'): Promise<Record<string, string>> {
    const { data } = await this.must('GET', `/api/v1/namespaces/${namespace}/secrets/${name}`)
    return Object.fromEntries(
      Object.entries<string>(data ?? {}).map(([key, value]) => [key, atob(value)]),
    )
  }

  /** Whether the endpoint, such as `/readyz`, answers 200, and what it says. */
  async health(path: string, limitMs = 5_000): Promise<{ ok: boolean; text: string }> {
    const { status, body } = await this.send('GET', `${path}?verbose`, undefined, { limitMs })
    return { ok: status === 200, text: typeof body === 'string' ? body : JSON.stringify(body) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent?.destroy()
  }
}

/** Runs `work` for 0 to `count` - 1, at most `width` at a time. */
export async function inParallel(
  count: number,
  work: (index: number) => Promise<unknown>,
  width = 16,
): Promise<void> {
  let next = 0
  const lane = async () => {
    for (let index = next++; index < count; index = next++) await work(index)
  }
  await Promise.all(Array.from({ length: width }, lane))
}
