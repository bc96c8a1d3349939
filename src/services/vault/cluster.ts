/**
 * The nodes of one Vault or OpenBao cluster: which of them to ask, and what to do where one is a
 * standby, lags behind, limits the rate, or does not answer.
 *
 * A request may be sent to several nodes, since encrypting or logging in twice does no harm. A
 * request that must not be sent twice says so.
 *
 * @module
 */

import { FirstGood } from '../../base/attempts/first_good.ts'
import { pause } from '../../base/attempts/pause.ts'
import { retryAfterMs } from '../../base/attempts/retry_after.ts'
import { withinLimit } from '../../base/call.ts'
import type { Clock } from '../../base/clock.ts'
import { KmsError, systemCodeOf, toKmsError } from '../../base/errors.ts'
import type { EventSink } from '../../base/events.ts'
import type { Call } from '../../base/provider.ts'
import type { HttpAnswer, HttpClient, HttpRequest } from '../../remote/http/client.ts'
import {
  isDrSecondary,
  isLagging,
  isRefusedLogin,
  NODE_RANKS,
  type NodeRole,
  roleOf,
} from './node.ts'
import { isRedirect, redirectedAway, redirectTarget } from './redirect.ts'

interface VaultClusterDeps {
  readonly clock: Clock
  readonly events: EventSink
  /** From 0 to 1; for jitter alone. */
  readonly random: () => number
  /** The provider's name, for events. */
  readonly provider: string
}

export type ClusterRequest = Omit<HttpRequest, 'signal'>

interface Node {
  readonly client: HttpClient
  role: NodeRole
  /** True where it failed when it was last asked. */
  bad: boolean
}

const HEALTH_LIMIT_MS = 1_000
/** The shortest time that one of several nodes has before the next one is asked as well. */
const MIN_SHARE_MS = 100
const RETRY_PAUSE_MS = 100
const MIN_RETRY_AFTER_MS = 50
const LAGGING_TURNS = 5
/** A node that answers with one of these cannot serve the request, but another node may. */
const ELSEWHERE = new Set([472, 474, 500, 501, 502, 503, 504, 530])
/** A standby without an active node, a node that is not initialised, or one that was removed. */
const USELESS = new Set([474, 501, 530])
const NOT_CONNECTED = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
])

export class VaultCluster {
  readonly #nodes: readonly Node[]
  readonly #deps: VaultClusterDeps
  /**
   * Vault Enterprise: the state of the storage after the last write; whoever answers must have
   * reached it.
   */
  #index: string | undefined

  /** @param clients in the order of preference */
  constructor(clients: readonly HttpClient[], deps: VaultClusterDeps) {
    this.#nodes = clients.map((client) => ({ client, role: 'unknown', bad: false }))
    this.#deps = deps
  }

  /**
   * Returns the first good answer, or where there is none the last one, whose status says why.
   *
   * @throws KmsError where no node answered at all, or the reason of the signal
   */
  async send(request: ClusterRequest, call: Call): Promise<HttpAnswer> {
    const [only] = this.#nodes
    const outcome =
      this.#nodes.length === 1 && only !== undefined
        ? await attempted(this.#ask(only, request, call))
        : await this.#askAll(request, call)
    if (isGood(outcome) || request.repeatable === false || !isPassing(outcome)) {
      return unpacked(outcome)
    }
    const ms = RETRY_PAUSE_MS * (0.5 + this.#deps.random())
    if (!this.#fits(ms, call)) return unpacked(outcome)
    await pause(this.#deps.clock, ms, call.signal)
    return await this.#ask(this.#order()[0] as Node, request, call)
  }

  /** Asks each of several nodes for its state, so that the next request goes to a good one. */
  async checkNodes(): Promise<void> {
    if (this.#nodes.length === 1) return
    await withinLimit(this.#deps.clock, HEALTH_LIMIT_MS, async ({ signal }) => {
      await Promise.all(this.#nodes.map((node) => this.#checkNode(node, signal)))
    }).catch(() => undefined)
  }

  async #checkNode(node: Node, signal: AbortSignal): Promise<void> {
    // The request has no namespace, since this path refuses one.
    const headers = { 'x-vault-request': 'true' }
    const request = { method: 'GET', path: '/v1/sys/health', headers, signal } as const
    const answer = await node.client.send(request).catch(() => undefined)
    this.#see(node, roleOf(answer?.status))
  }

  /** Good nodes first, then by their role, then in the operator's order. */
  #order(): Node[] {
    const rank = ({ bad, role }: Node) => NODE_RANKS[role] + (bad ? 100 : 0)
    return this.#nodes.toSorted((a, b) => rank(a) - rank(b))
  }

  /**
   * Asks one node after the other. A slow node is not given up when the next one is asked: it may
   * still be the first to answer.
   */
  async #askAll(request: ClusterRequest, call: Call): Promise<NodeOutcome> {
    const order = this.#order()
    const first = new FirstGood<NodeOutcome>(this.#deps.clock, call.signal, isGood)
    try {
      for (const [index, node] of order.entries()) {
        first.add((signal) => this.#tried(node, request, { ...call, signal }))
        const good = await first.wait(this.#patience(request, call, order.length - index))
        if (good !== undefined) return good
        node.bad = true
        // A request that must not be sent twice goes to one node, unless that node never got it.
        if (request.repeatable === false && !neverSent(lastOf(first))) break
      }
      return lastOf(first)
    } finally {
      first.end()
    }
  }

  /** How long to wait for a node before the next one is asked as well, if there is one. */
  #patience(request: ClusterRequest, { deadline }: Call, nodesLeft: number): number | undefined {
    if (request.repeatable === false || nodesLeft === 1) return undefined
    const left = deadline - this.#deps.clock.monotonic()
    return Math.max(left / nodesLeft, MIN_SHARE_MS)
  }

  async #tried(node: Node, request: ClusterRequest, call: Call): Promise<NodeOutcome> {
    const outcome = await attempted(this.#ask(node, request, call))
    if (!call.signal.aborted) node.bad = !isGood(outcome)
    return outcome
  }

  /** Asks one node, and waits as its answer demands. */
  async #ask(node: Node, request: ClusterRequest, call: Call): Promise<HttpAnswer> {
    const answer = await this.#anew(node, request, call)
    if (!isRedirect(answer)) return answer
    const active = this.#redirected(node, answer, request)
    if (active === undefined) throw redirectedAway(answer, request.path)
    this.#see(node, 'standby')
    this.#see(active, 'active')
    const next = await this.#patiently(active, request, call)
    if (isRedirect(next)) throw redirectedAway(next, request.path)
    return next
  }

  /**
   * Behind one address there may be many nodes, and a kept connection stays with the node that it
   * was made to. If that node cannot serve, the request is sent over a new connection, once. Where
   * every node is sealed, no connection was kept, so no request is sent twice.
   */
  async #anew(node: Node, request: ClusterRequest, call: Call): Promise<HttpAnswer> {
    const answer = await this.#patiently(node, request, call)
    const alone = this.#nodes.length === 1 && request.repeatable !== false
    if (!alone || !answer.kept || !isElsewhere(answer)) return answer
    return await this.#patiently(node, request, call)
  }

  async #patiently(node: Node, request: ClusterRequest, call: Call): Promise<HttpAnswer> {
    for (let turn = 1; ; turn += 1) {
      const answer = await this.#once(node, request, call, turn)
      const ms = this.#waitAfter(answer, turn)
      if (ms === undefined || request.repeatable === false || !this.#fits(ms, call)) return answer
      await pause(this.#deps.clock, ms, call.signal)
    }
  }

  async #once(
    { client }: Node,
    request: ClusterRequest,
    { signal }: Call,
    turn: number,
  ): Promise<HttpAnswer> {
    const headers =
      this.#index === undefined
        ? request.headers
        : { ...request.headers, ...consistency(this.#index, turn) }
    const answer = await client.send({ ...request, headers, signal, isElsewhere })
    this.#index = answer.header('x-vault-index') ?? this.#index
    return answer
  }

  /** How long to wait before the same node is asked again; undefined where that does not help. */
  #waitAfter(answer: HttpAnswer, turn: number): number | undefined {
    const { status, header } = answer
    const jitter = 0.5 + this.#deps.random()
    if (isLagging(answer) && turn < LAGGING_TURNS) {
      // The client's own index may be wrong: one that no node ever reaches is worth nothing.
      if (turn === LAGGING_TURNS - 1) this.#index = undefined
      return turn === 1 ? 0 : RETRY_PAUSE_MS * jitter
    }
    if (status !== 429 || turn > 1) return undefined
    const askedMs = retryAfterMs(header('retry-after'))
    if (askedMs === undefined) return RETRY_PAUSE_MS * jitter
    return Math.max(askedMs, MIN_RETRY_AFTER_MS * jitter)
  }

  /** Whether there is time for a pause and for the answer after it. */
  #fits(ms: number, { deadline }: Call): boolean {
    return this.#deps.clock.monotonic() + ms + RETRY_PAUSE_MS < deadline
  }

  #redirected(from: Node, answer: HttpAnswer, { path }: ClusterRequest): Node | undefined {
    const addresses = this.#nodes.map(({ client }) => client.address)
    const target = redirectTarget(answer, path, addresses)
    return this.#nodes.find((node) => node !== from && node.client.address === target)
  }

  #see(node: Node, role: NodeRole): void {
    const before = node.role
    node.role = role
    if (role !== 'unreachable') node.bad = false
    if (before === role) return
    const { events, provider } = this.#deps
    const { address } = node.client
    const message = `Node ${address} of provider "${provider}" is ${role}`
    const fields = { provider, address, role, previous: before }
    const level = NODE_RANKS[role] < NODE_RANKS.sealed ? 'info' : 'warn'
    events.emit({ type: 'notice', level, what: 'vault_node', message, fields })
  }
}

type NodeOutcome =
  | { readonly ok: true; readonly answer: HttpAnswer }
  | { readonly ok: false; readonly error: KmsError }

function lastOf({ last }: FirstGood<NodeOutcome>): NodeOutcome {
  return last ?? { ok: false, error: new KmsError('No node answered', { code: 'unavailable' }) }
}

async function attempted(work: Promise<HttpAnswer>): Promise<NodeOutcome> {
  try {
    return { ok: true, answer: await work }
  } catch (error) {
    return { ok: false, error: toKmsError(error) }
  }
}

function unpacked(outcome: NodeOutcome): HttpAnswer {
  if (outcome.ok) return outcome.answer
  throw outcome.error
}

/**
 * An answer that settles the request, even if it is a refusal; another node would answer the same.
 */
function isGood(outcome: NodeOutcome): boolean {
  if (!outcome.ok || isDrSecondary(outcome.answer)) return false
  return !ELSEWHERE.has(outcome.answer.status) || isFinal(outcome.answer)
}

/**
 * Failures of the request itself that come with status 500: items of a batch, a token past its
 * maximum life, a refused login.
 */
function isFinal({ status, text }: HttpAnswer): boolean {
  const says = (phrase: string) => text.includes(phrase)
  if (isRefusedLogin(status, says)) return true
  return status === 500 && (says('"batch_results"') || says('max TTL'))
}

/**
 * Overload and internal errors may pass while the request has time; a node that is sealed or away
 * stays so.
 */
function isPassing(outcome: NodeOutcome): boolean {
  if (!outcome.ok) return false
  const { status, text } = outcome.answer
  return [500, 502, 503, 504].includes(status) && !text.includes('sealed')
}

/** This node cannot serve anything, and says so; waiting does not help. */
function isElsewhere(answer: HttpAnswer): boolean {
  const { status, text } = answer
  if (isRedirect(answer) || isDrSecondary(answer)) return true
  return USELESS.has(status) || (status === 503 && text.includes('sealed'))
}

/** There was no connection, so nothing was sent. */
function neverSent(outcome: NodeOutcome): boolean {
  return !outcome.ok && NOT_CONNECTED.has(systemCodeOf(outcome.error) ?? '')
}

function consistency(index: string, turn: number): Record<string, string> {
  const forward = turn === 2 ? { 'x-vault-inconsistent': 'forward-active-node' } : {}
  return { 'x-vault-index': index, ...forward }
}
