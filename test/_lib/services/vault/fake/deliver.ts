/** How a reply leaves a node: unchanged, or changed by a fault. @module */

import { Buffer } from 'node:buffer'
import type { ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import type { Fault } from './faults.ts'
import { failure, type Reply } from './reply.ts'
import { isObject } from './request.ts'

const OVERSIZE_BYTES = 5_500_000
const CHUNK_BYTES = 65_536
const PAGE = '<html><body><h1>Bad Gateway</h1></body></html>'

/** An answer that a fault gives in place of the truth. */
export function replacementOf(fault: Fault): Reply | undefined {
  if (fault.kind === 'html') {
    return { status: fault.status ?? 200, headers: { 'content-type': 'text/html' }, text: PAGE }
  }
  if (fault.kind !== 'answer') return undefined
  const { status, errors = [], text, headers = {} } = fault
  const reply = failure(status, ...errors)
  const type = reply.headers
  return { status, headers: { ...type, ...headers }, text: text ?? reply.text ?? '' }
}

/** The true answer as a fault changes it. */
export function alter(reply: Reply, fault: Fault): Reply {
  const { text = '' } = reply
  if (fault.kind === 'invalidJson') return { ...reply, text: text.slice(0, -2) }
  if (fault.kind === 'wrongShape') {
    return { ...reply, text: JSON.stringify(fault.value ?? { data: 'other' }) }
  }
  if (fault.kind === 'fewerResults') return { ...reply, text: withoutLastResult(text) }
  return reply
}

export async function deliver(
  response: ServerResponse,
  reply: Reply,
  faults: readonly Fault[],
): Promise<void> {
  const kinds = faults.map(({ kind }) => kind)
  if (kinds.includes('noAnswer')) {
    response.socket?.destroy()
    return
  }
  if (kinds.includes('oversize')) {
    response.writeHead(200, { 'content-type': 'application/json' })
    await pipeline(oversizeBody(), response)
    return
  }
  const bytes = Buffer.from(reply.text ?? '')
  response.writeHead(reply.status, { ...reply.headers, 'content-length': bytes.length })
  const cut = kinds.includes('halfBody')
  if (!(cut || kinds.includes('stalledBody'))) {
    response.end(bytes)
    return
  }
  const half = bytes.subarray(0, Math.floor(bytes.length / 2))
  await new Promise<void>((resolve) => {
    response.write(half, () => resolve())
  })
  if (cut) response.socket?.destroy()
}

/** Valid JSON, so that its length is what the client objects to. */
function* oversizeBody(): Generator<string> {
  yield '{"data":{"value":"'
  for (let sent = 0; sent < OVERSIZE_BYTES; sent += CHUNK_BYTES) yield 'A'.repeat(CHUNK_BYTES)
  yield '"}}'
}

function withoutLastResult(text: string): string {
  const value: unknown = JSON.parse(text)
  if (!isObject(value)) return text
  const data = value['data']
  if (!(isObject(data) && Array.isArray(data['batch_results']))) return text
  const batch_results = data['batch_results'].slice(0, -1)
  return JSON.stringify({ ...value, data: { ...data, batch_results } })
}
