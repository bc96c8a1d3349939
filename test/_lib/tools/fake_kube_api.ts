/**
 * The one page of an API server that a key service asks: TokenReview. It is as strict as the real
 * one.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import * as v from 'valibot'

const PATH = '/apis/authentication.k8s.io/v1/tokenreviews'
const review = v.object({
  // The path says which kind it is, and Go clients such as OpenBao leave it out.
  apiVersion: v.optional(v.literal('authentication.k8s.io/v1')),
  kind: v.optional(v.literal('TokenReview')),
  spec: v.object({ token: v.string(), audiences: v.optional(v.array(v.string()), []) }),
})

/** In the form of a token that Kubernetes signed: Vault before 1.13 looks at the form. */
export const REVIEWER_TOKEN = ['{"alg":"ES256"}', '{"sub":"reviewer-of-tokens"}', 'signature']
  .map((part) => Buffer.from(part).toString('base64url'))
  .join('.')

interface FakeKubeApi extends AsyncDisposable {
  readonly address: string
  readonly reviewerToken: string
  /** Tokens of ServiceAccounts that exist, with `namespace:name`. */
  readonly accounts: Map<string, string>
  /** While true it answers nothing but 503. */
  down: boolean
  reviews: number
}

export async function startFakeKubeApi(): Promise<FakeKubeApi> {
  const api = { accounts: new Map<string, string>(), down: false, reviews: 0 }
  const server = createServer((request, response) => {
    void answer(request, response).catch((error: unknown) => send(response, 500, String(error)))
  })
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    if (api.down) return send(response, 503, { kind: 'Status' })
    if (request.method !== 'POST' || request.url !== PATH) return send(response, 404, {})
    if (request.headers.authorization !== `Bearer ${REVIEWER_TOKEN}`) return send(response, 401, {})
    const { spec } = v.parse(review, JSON.parse(await bodyOf(request)))
    api.reviews += 1
    return send(response, 201, reviewed(spec, api.accounts.get(spec.token)))
  }
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('No port')
  return Object.assign(api, {
    address: `http://127.0.0.1:${address.port}`,
    reviewerToken: REVIEWER_TOKEN,
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  })
}

type Spec = v.InferOutput<typeof review>['spec']

function reviewed(spec: Spec, account: string | undefined): object {
  const base = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec }
  if (account === undefined) {
    return { ...base, status: { authenticated: false, error: 'token not found' } }
  }
  const [namespace] = account.split(':')
  const user = {
    username: `system:serviceaccount:${account}`,
    uid: `uid-of-${account}`,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`],
  }
  return { ...base, status: { authenticated: true, user, audiences: spec.audiences } }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) text += String(chunk)
  return text
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}
