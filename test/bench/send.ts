/**
 * One request of a load generator: the same for every KMS socket, and an equivalent one for a key
 * service that is asked directly.
 *
 * @module
 */

import { Agent, request } from 'undici'
import { connectKms } from '../../src/grpc/client.ts'
import type { Endpoint } from './job.ts'

const TIMEOUT_MS = 10_000

/** Settles when it is answered; whatever goes wrong is thrown. */
export type Send = (path: string, body: Uint8Array) => Promise<unknown>

/** With a connection of its own, as an API server has. */
export function createSend(endpoint: Endpoint): Send {
  if (endpoint.kind === 'socket') return connectKms(endpoint.path, { timeoutMs: TIMEOUT_MS }).raw
  const dispatcher = new Agent()
  const { address, token } = endpoint
  const headers = { 'x-vault-token': token, 'content-type': 'application/json' }
  return async (path, body) => {
    const url = `${address}/v1/${path}`
    const answer = await request(url, { method: 'POST', headers, body, dispatcher })
    const content = await answer.body.json()
    if (answer.statusCode !== 200) throw new Error(`HTTP status ${answer.statusCode}`)
    return content
  }
}
