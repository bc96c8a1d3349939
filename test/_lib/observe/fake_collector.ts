/** A collector that takes OTLP's JSON as strictly as the specification allows, and answers what a test wants. @module */

import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import * as v from 'valibot'
import { exported, type OtlpSpan, spansOf } from './otlp.ts'

/** Answers one request; its number counts from 1. */
type Behaviour = (response: ServerResponse, number: number) => void

interface FakeCollector extends AsyncDisposable {
  readonly endpoint: string
  /** Of each request its spans. */
  readonly requests: readonly (readonly OtlpSpan[])[]
  readonly authorizations: readonly (string | undefined)[]
  /** What was wrong with requests. */
  readonly problems: readonly string[]
  readonly connections: () => number
  /** From now on. */
  behave(next: Behaviour): void
}

export const TAKES: Behaviour = (response) =>
  void response.writeHead(200, { 'content-type': 'application/json' }).end('{}')

/** @param body JSON */
export function answers(
  status: number,
  body: unknown = {},
  headers: Readonly<Record<string, string>> = {},
): Behaviour {
  return (response) =>
    void response
      .writeHead(status, { 'content-type': 'application/json', ...headers })
      .end(typeof body === 'string' ? body : JSON.stringify(body))
}

/** @param certificate with it the endpoint is `https://` */
export async function fakeCollector(
  first: Behaviour = TAKES,
  certificate?: { readonly cert: string; readonly key: string },
): Promise<FakeCollector> {
  let behaviour = first
  const requests: OtlpSpan[][] = []
  const authorizations: (string | undefined)[] = []
  const problems: string[] = []
  let connections = 0
  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const { method, url, headers } = request
    const head = `${method} ${url} ${headers['content-type']}`
    if (head !== 'POST /v1/traces application/json') problems.push(head)
    const parsed = v.safeParse(exported, await json(request).catch(String))
    if (parsed.success) requests.push(spansOf(parsed.output))
    else problems.push(v.flatten(parsed.issues).root?.join() ?? JSON.stringify(parsed.issues[0]))
    authorizations.push(headers.authorization)
    behaviour(response, requests.length)
  }
  const server =
    certificate === undefined
      ? createServer(handle)
      : createTlsServer(
          { cert: await readFile(certificate.cert), key: await readFile(certificate.key) },
          handle,
        )
  server.on('connection', () => {
    connections += 1
  })
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  return {
    endpoint: `${certificate === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    requests,
    authorizations,
    problems,
    connections: () => connections,
    behave(next) {
      behaviour = next
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
