/** One fake node: a port of its own, a role, faults, and a record of what it was asked. @module */

import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers'
import { alter, deliver, replacementOf } from './deliver.ts'
import { createFaultList, type Fault, type FaultHandle, type FaultScope } from './faults.ts'
import type { NodeRole } from './health.ts'
import { failure, type Reply } from './reply.ts'
import { itemCount, type Limits, USUAL_LIMITS, type VaultRequest } from './request.ts'

interface Received {
  readonly method: string
  /** Below `/v1/`, without the query. */
  readonly path: string
  readonly query: string
  readonly headers: IncomingHttpHeaders
  /** Items of a batch, 1 for a request with another body, 0 for one without. */
  readonly items: number
  /** May hold secrets of the test. */
  readonly text: string
  /** Undefined while it is not answered, and where a fault closed the connection. */
  status: number | undefined
  /** The client went away before the whole answer was sent. */
  aborted: boolean
}

export interface FakeNode {
  /** `http://127.0.0.1:port`, the same after a restart. */
  readonly address: string
  role: NodeRole
  /** Where `standbyRedirect` sends clients, a base URL; the active node where undefined. */
  redirectTo: string | undefined
  /** A node that lags sees none of the key versions, tokens and secret ids made since this was set. */
  lagging: boolean
  /** The last write that it has seen; infinite where it keeps up. */
  readonly upTo: number
  readonly running: boolean
  /** All that it received, the oldest first. */
  readonly requests: readonly Received[]
  /** Logins that were asked for here, whatever came of them. */
  readonly logins: number
  fault(fault: Fault, scope?: FaultScope): FaultHandle
  /** Ends all faults, and lets go what hangs. */
  clearFaults(): void
  forgetRequests(): void
  /** Nothing listens any more; connections are reset. */
  stop(): Promise<void>
  start(): Promise<void>
}

interface NodeDeps {
  /** The truth, by role and limits. */
  readonly serve: (node: FakeNode, request: VaultRequest, limits: Limits) => Reply
  /** The number of the last write in the cluster. */
  readonly index: () => number
}

const FIVE_MINUTES_MS = 300_000

export async function startNode(role: NodeRole, deps: NodeDeps): Promise<FakeNode> {
  const faults = createFaultList()
  let requests: Received[] = []
  let port = 0
  let upTo = Number.POSITIVE_INFINITY
  let server: Server | undefined
  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const asked = await readRequest(request)
    const received = record(asked, response)
    requests.push(received)
    await answer(node, deps, { asked, received, response, active: faults.take(asked) })
  }
  const node: FakeNode = {
    get address() {
      return `http://127.0.0.1:${port}`
    },
    role,
    redirectTo: undefined,
    get lagging() {
      return Number.isFinite(upTo)
    },
    set lagging(lagging) {
      upTo = lagging ? deps.index() : Number.POSITIVE_INFINITY
    },
    get upTo() {
      return upTo
    },
    get running() {
      return server !== undefined
    },
    get requests() {
      return requests
    },
    get logins() {
      return requests.filter(({ path }) => path.endsWith('/login')).length
    },
    fault: (fault, scope = {}) => faults.add(fault, scope),
    clearFaults: () => faults.clear(),
    forgetRequests: () => {
      requests = []
    },
    async stop() {
      const old = server
      server = undefined
      if (old === undefined) return
      const closed = once(old, 'close')
      old.close()
      old.closeAllConnections()
      await closed
    },
    async start() {
      if (server !== undefined) return
      server = createServer({ keepAliveTimeout: FIVE_MINUTES_MS }, (request, response) => {
        // A client that goes away in the middle ends its own request and nothing else.
        handle(request, response).catch(() => response.destroy())
      }).listen(port, '127.0.0.1')
      await once(server, 'listening')
      port = (server.address() as AddressInfo).port
    },
  }
  await node.start()
  return node
}

interface Exchange {
  readonly asked: VaultRequest
  readonly received: Received
  readonly response: ServerResponse
  readonly active: ReturnType<ReturnType<typeof createFaultList>['take']>
}

async function answer(
  node: FakeNode,
  deps: NodeDeps,
  { asked, received, response, active }: Exchange,
): Promise<void> {
  for (const { fault, released } of active) await delayOf(fault, released)
  const faults = active.map(({ fault }) => fault)
  if (faults.some((fault) => fault.kind === 'noAnswer' && fault.done !== true)) {
    response.socket?.destroy()
    return
  }
  const replaced = faults.map(replacementOf).find((reply) => reply !== undefined)
  const truth = replaced ?? trueReply(node, deps, asked, limitsOf(faults))
  const reply = faults.reduce(alter, truth)
  if (!faults.some(({ kind }) => kind === 'noAnswer')) received.status = reply.status
  await deliver(response, reply, faults)
}

function trueReply(node: FakeNode, deps: NodeDeps, asked: VaultRequest, limits: Limits): Reply {
  if (asked.text.length > limits.bodyBytes) return failure(413, 'http: request body too large')
  return deps.serve(node, asked, limits)
}

async function delayOf(fault: Fault, released: Promise<void>): Promise<void> {
  if (fault.kind === 'hang') await released
  if (fault.kind !== 'slow') return
  await new Promise<void>((resolve) => {
    setTimeout(resolve, fault.ms).unref()
  })
}

function limitsOf(faults: readonly Fault[]): Limits {
  let { strings, bodyBytes } = USUAL_LIMITS
  for (const fault of faults) {
    if (fault.kind === 'maxStrings') strings = Math.min(strings, fault.strings)
    if (fault.kind === 'maxBody') bodyBytes = Math.min(bodyBytes, fault.bytes)
  }
  return { strings, bodyBytes }
}

async function readRequest(request: IncomingMessage): Promise<VaultRequest> {
  const { method = '', url = '', headers, headersDistinct } = request
  const inconsistent = headersDistinct['x-vault-inconsistent'] ?? []
  let text = ''
  request.setEncoding('utf8')
  for await (const chunk of request) text += String(chunk)
  const { pathname, searchParams } = new URL(url, 'http://node')
  const inside = pathname.startsWith('/v1/')
  const path = inside ? pathname.slice(4) : pathname
  return { method, path, inside, query: searchParams, headers, inconsistent, text }
}

function record(asked: VaultRequest, response: ServerResponse): Received {
  const { method, path, query, headers, text } = asked
  const items = text === '' ? 0 : itemCount(text)
  const received: Received = {
    method,
    path,
    query: query.toString(),
    headers,
    items,
    text,
    status: undefined,
    aborted: false,
  }
  response.on('close', () => {
    received.aborted = !response.writableFinished
  })
  return received
}
